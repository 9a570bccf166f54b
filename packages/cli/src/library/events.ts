/** Every event of the library: what one listener for all verbs hears. */
import type { EvaluatingEvent } from './evaluate.js';
import type { ExportingEvent } from './export.js';
import type { ForgettingEvent } from './forget.js';
import type { MergingEvent } from './merge.js';
import type { PredictingEvent } from './predict.js';
import type { ResumingEvent } from './resume.js';
import type { TrainingEvent } from './train.js';

/** Told apart by the field `event`. */
export type LibraryEvent =
  | TrainingEvent
  | ResumingEvent
  | EvaluatingEvent
  | PredictingEvent
  | ForgettingEvent
  | MergingEvent
  | ExportingEvent;
