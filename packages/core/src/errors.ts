/**
 * Every error class of Thimble. An error says four things: where it happened, what was expected, what came
 * instead, and what to do about it. The message is the four parts in one line; tests pin the texts.
 */

/** Options of the API that an error may advise to change; a command has flags for them. */
export type AdvisedOption =
  'batch' | 'budget' | 'dtype' | 'imageSize' | 'lr' | 'method' | 'model' | 'preprocess' | 'saved';

/** The parts of an error; all are sentences without a final full stop. */
export interface ErrorParts {
  /** Op, node, tensor, file or option the error is about. */
  readonly where: string;
  readonly expected: string;
  readonly got: string;
  /** What the reader can do next. */
  readonly todo: string;
  /** Those that `todo` speaks of. */
  readonly options?: readonly AdvisedOption[];
}

/** Base class: `where: expected E, got G. TODO.` */
export class ThimbleError extends Error {
  readonly parts: ErrorParts;

  constructor(parts: ErrorParts) {
    super(`${parts.where}: expected ${parts.expected}, got ${parts.got}. ${parts.todo}.`);
    this.parts = parts;
    this.name = new.target.name;
  }
}

/** Operand shapes or dtypes that an op cannot take. */
export class ShapeError extends ThimbleError {}

/** A graph that breaks a rule of the IR; thrown by `verify` with the offending node printed. */
export class GraphError extends ThimbleError {}

/** A plan that does not fit the byte budget; the message names the largest tensors. */
export class BudgetError extends ThimbleError {}

/** A configuration value outside its domain (model, method, optimiser, option). */
export class ConfigError extends ThimbleError {}

/** A name that is in no registry; carries the nearest known name when there is one. */
export class UnknownNameError extends ThimbleError {}

/** A file or folder that could not be read or written: missing, closed, full. */
export class FileError extends ThimbleError {}

/** Bytes that are not a valid file of the format they claim to be. */
export class FormatError extends ThimbleError {}

/** A checkpoint whose tensors do not match the model. */
export class CheckpointError extends ThimbleError {}

/** A data set that cannot be trained on: no images, one class only, too few images. */
export class DataError extends ThimbleError {}

/** An executor that cannot run here, or was used against its contract. */
export class ExecutorError extends ThimbleError {}

/** A training run that cannot go on: the loss is not a number. */
export class TrainingError extends ThimbleError {}

/** What is computed from finite numbers is NaN or infinite: a model that cannot answer. */
export class NumericError extends ThimbleError {}

/** A file that could not be had over the network: no connection, no permission, wrong bytes. */
export class DownloadError extends ThimbleError {
  /** The same may work later: no connection, a server in trouble. */
  readonly isTemporary: boolean;

  constructor(parts: ErrorParts, isTemporary = false) {
    super(parts);
    this.isTemporary = isTemporary;
  }
}

/** A fault of Thimble itself: nothing that a user gave is wrong. */
export class InternalError extends ThimbleError {
  /** The error for a place where `expected` should hold by construction, and `got` came. */
  static of(where: string, expected: string, got: string): InternalError {
    return new InternalError({ where, expected, got, todo: 'Please report this' });
  }
}

/** What a look-up found. Throws InternalError where it found nothing, though by construction it is there. */
export function required<T>(found: T | undefined, where: string, expected: string): T {
  if (found !== undefined) return found;
  throw InternalError.of(where, expected, 'none');
}

/** All of the classes: an error that comes from another thread is made again by its name. */
export const ERROR_CLASSES: readonly (new (parts: ErrorParts) => ThimbleError)[] = [
  ThimbleError,
  ShapeError,
  GraphError,
  BudgetError,
  ConfigError,
  UnknownNameError,
  FileError,
  FormatError,
  CheckpointError,
  DataError,
  ExecutorError,
  TrainingError,
  NumericError,
  DownloadError,
  InternalError,
];
