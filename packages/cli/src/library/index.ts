/**
 * The library of the command: all that `thimble` does, as functions with typed options, typed events and typed
 * results.
 *
 *   import { train, resume } from '@thimble/cli';
 *   const outcome = await train({ data: 'photos', epochs: 3 }, { signal, onEvent: console.log });
 *
 * Every verb takes its options, and hooks: `onEvent` hears what happens while it goes on, `signal` stops it. Nothing
 * is printed, no signal of the system is handled, no process ended, no command line read. Paths count from the
 * working directory. What goes wrong is thrown as one of the errors of `@thimble/core`, whose texts call an option
 * as the command does: `--save-every` is `saveEvery`.
 */
export { bench, type BenchOptions, type BenchResult } from './bench.js';
export {
  evaluate,
  type ClassResult,
  type EvaluateOptions,
  type EvaluateResult,
  type EvaluatingEvent,
} from './evaluate.js';
export type { LibraryEvent } from './events.js';
export {
  exportModel,
  type ExportedFile,
  type ExportedPictures,
  type ExportingEvent,
  type ExportOptions,
  type ExportResult,
} from './export.js';
export {
  forget,
  undoForgetting,
  type ForgetOptions,
  type ForgetResult,
  type ForgettingEvent,
  type UndoForgettingOptions,
  type UndoForgettingResult,
} from './forget.js';
export { info, ranks, type InfoOptions, type RanksOptions } from './info.js';
export { merge, type MergeOptions, type MergeResult, type MergingEvent } from './merge.js';
export {
  plan,
  planStep,
  stepChart,
  stepText,
  type LargeTensor,
  type PlanOptions,
  type PlanResult,
} from './plan.js';
export {
  predict,
  type ClassifierEvent,
  type ClassProbability,
  type InputsEvent,
  type PredictingEvent,
  type Prediction,
  type PredictionEvent,
  type PredictOptions,
  type PredictResult,
  type UnreadImage,
} from './predict.js';
export {
  resume,
  type NothingToDo,
  type ResumedEvent,
  type ResumeOptions,
  type ResumingEvent,
} from './resume.js';
export type { StepChoice } from './step.js';
export { train, type PreparedEvent, type TrainingEvent, type TrainingOptions } from './train.js';
export type { ExecutorOptions, KeepingOptions, LoadingEvent, WorkerOptions } from './work.js';
export type {
  Hooks,
  Listener,
  NoteEvent,
  NoteTopic,
  ProgressEvent,
  Task,
  WritingEvent,
  WrittenEvent,
} from '../events/caller.js';
export type { BudgetEvent } from '../budget/budget.js';
export type { FittedEvent, FittingEvent } from '../budget/ready-within.js';
export type { DataSetEvent, HeldOutEvent } from '../data/report.js';
export type { DownloadEvent } from '../hub/progress.js';
export type { HubOptions, PreprocessOptions } from '../source/options.js';
export type { WeightsEvent } from '../source/training-start.js';
export type { ComparisonEvent } from '../step/comparison.js';
export type { LoadedEvent, PlaceFields, RunEvent, StartEvent } from '../training/events.js';
export type { RunOutcome, RunSummary } from '../training/training.js';
