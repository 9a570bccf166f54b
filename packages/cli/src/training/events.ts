/** What a training run says while it goes on. */
import type { LoadReport, TrainEvent } from '@thimble/core';
import type { WritingEvent, WrittenEvent } from '../events/caller.js';
import type { RunSettings } from '../run/record.js';

/** Where a run happens. */
export interface PlaceFields {
  /** Of the arena and the scratch of all threads. */
  readonly plannedBytes: number;
  readonly executor: string;
  /** Its variant, as in `avx512`. */
  readonly executorDetail: string;
  readonly threads: number;
  /** The run folder. */
  readonly run: string;
}

/** Weights were loaded to start from. */
export interface LoadedEvent extends LoadReport {
  readonly event: 'loaded';
  /** As asked for. */
  readonly from: string | null;
  /** Tensors of the file that the model has no place for. */
  readonly ignored: readonly string[];
  /** Of the model that trains. */
  readonly classes: number;
  readonly imageSize: number;
}

/** The first update is next: settings of the run, by name where a record has more of them. */
export interface StartEvent
  extends
    PlaceFields,
    Pick<RunSettings, 'method' | 'classes' | 'preprocess' | 'batch' | 'learningRate' | 'epochs'>,
    Pick<RunSettings['data'], 'trainImages' | 'validationImages'> {
  readonly event: 'start';
  readonly model: string;
  /** Elements of all parameters, and of those that train. */
  readonly parameters: number;
  readonly trainable: number;
  /** Updates of the whole run, and of an epoch on average. */
  readonly steps: number;
  readonly stepsPerEpoch: number;
  readonly optimizer: string;
}

/** What happens while a run trains. */
export type RunEvent = LoadedEvent | StartEvent | TrainEvent | WritingEvent | WrittenEvent;
