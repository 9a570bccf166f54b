/** train: a folder of class folders in, a run folder with a trained model out. */
import {
  augmentNamed,
  trainingBatchCount,
  type ExecutorKind,
  type PrepareTables,
} from '@thimble/core';
import { readyWithin, type FittingEvent } from '../budget/ready-within.js';
import type { CropSource } from '../data/decoding.js';
import { largestReading } from '../data/image-file.js';
import { dataSetEvent, type DataSetEvent } from '../data/report.js';
import { readDataSet } from '../data/set.js';
import { Caller, type Hooks, type NoteEvent } from '../events/caller.js';
import type { DownloadEvent } from '../hub/progress.js';
import type { MemoryRecord, MemoryRequest } from '../memory/process-memory.js';
import { startedMethod } from '../run/form.js';
import type { RunSettings } from '../run/record.js';
import type { Head } from '../source/head.js';
import type { HubOptions, PreprocessOptions } from '../source/options.js';
import type { Start } from '../source/start.js';
import {
  startFrom,
  weightsEvent,
  type TrainingStart,
  type WeightsEvent,
} from '../source/training-start.js';
import { compareWithFull, type ComparisonEvent } from '../step/comparison.js';
import { givenKeys, type StepOptions } from '../step/step.js';
import type { RunEvent } from '../training/events.js';
import { withUsualVariance } from '../training/explained-variance.js';
import { checkFree, nextNumbered, TrainingFolder } from '../training/folder.js';
import { defaultLearningRate } from '../training/learning-rate.js';
import { makeReady, type Ready, type TrainingRequest } from '../training/preparing.js';
import { stepSettings, type RunPlan } from '../training/run-plan.js';
import { runTraining, type RunOutcome } from '../training/training.js';
import { STEP_DEFAULTS, type StepChoice } from './step.js';
import { checkNumbers } from './limits.js';
import {
  cacheFor,
  executorFor,
  threadsFor,
  workersFor,
  type ExecutorOptions,
  type KeepingOptions,
  type WorkerOptions,
} from './work.js';

export interface TrainingOptions
  extends
    ExecutorOptions,
    WorkerOptions,
    KeepingOptions,
    HubOptions,
    PreprocessOptions,
    StepChoice {
  /** A folder of class folders, or a manifest: a .csv, .tsv or .jsonl file. */
  readonly data: string;
  /** A preset, `owner/name` on the hub, or a folder; default: that of `init`, else `vit-micro`. */
  readonly model?: string;
  /** Weights to start from: a safetensors file, a folder, a run, `owner/name` on the hub, or `random`. */
  readonly init?: string;
  /** `auto` (default) keeps the classifier of the weights where its classes are those of the images; `new` never. */
  readonly head?: Head;
  /** Passes over the training images; default 10. */
  readonly epochs?: number;
  /** Peak learning rate; default: by optimiser and method. */
  readonly lr?: number;
  /** Epochs of rising rate, below 1 a share of the run; default 0.1. */
  readonly warmup?: number;
  /** How training images are varied; default `light`. */
  readonly augment?: string;
  /** What random crops are cut from: photos `reduced` (default) as far as no crop is enlarged, or `whole` ones. */
  readonly cropSource?: CropSource;
  /** A folder of validation images; default: held out of `data`. */
  readonly val?: string;
  /** Share of each class that is held out, above 0 and below 1; default 0.2. */
  readonly valFraction?: number;
  /** Most training images of a class; default: all. */
  readonly limit?: number;
  /** Every sub-folder of `data` is a class, also train, val or test; default: off. */
  readonly asClasses?: boolean;
  /** Leaves out class folders of which nothing can be read, instead of refusing; default: off. */
  readonly allowEmpty?: boolean;
  /** Of weights, order, augmentation and split; default 0. */
  readonly seed?: number;
  /** The run folder; default: `runs/<name of data>-<n>`, the first that is free. */
  readonly out?: string;
  /** Replaces an earlier run in `out`, once the new one has weights; default: off. */
  readonly force?: boolean;
  /** Stops at the first unreadable image instead of leaving it out; default: off. */
  readonly strict?: boolean;
  /** Bytes that the whole process may take: chooses what is left open, or refuses to start. */
  readonly memory?: number;
  /** Plans `full` beside the run also where no ranks are chosen, for the event `comparison`; default: off. */
  readonly compare?: boolean;
}

export const TRAIN_DEFAULTS = {
  ...STEP_DEFAULTS,
  head: 'auto',
  epochs: 10,
  warmup: 0.1,
  augment: 'light',
  cropSource: 'reduced',
  valFraction: 0.2,
  asClasses: false,
  allowEmpty: false,
  seed: 0,
  force: false,
  strict: false,
  compare: false,
} as const satisfies Partial<TrainingOptions>;

/** Ranks and factors were chosen for the weights and images of this run. */
export interface PreparedEvent extends PrepareTables {
  readonly event: 'prepared';
}

/** What happens while a model trains, in this order. */
export type TrainingEvent =
  | NoteEvent
  | DataSetEvent
  | DownloadEvent
  | WeightsEvent
  | FittingEvent
  | PreparedEvent
  | ComparisonEvent
  | RunEvent;

type Keys = keyof typeof TRAIN_DEFAULTS | 'threads' | 'workers';

/** With what was left to the defaults. */
type Settled = Omit<TrainingOptions, Keys> & Required<Pick<TrainingOptions, Keys>>;

/**
 * Trains a model on a folder of images and saves the run in a folder.
 *
 * An aborted signal ends training behind the present update, with everything saved, and is no error: the result says
 * so, and `resume` goes on to the same bits. Before there is a run, the signal's reason is thrown.
 *
 * Throws the errors of `@thimble/core`: ConfigError for options that are impossible or do not go together, DataError
 * for images that cannot be trained on, BudgetError where nothing fits in `memory`, TrainingError where the loss
 * diverges, FileError for a full or closed disk; the run then keeps what it saved last.
 */
export async function train(
  options: TrainingOptions,
  hooks: Hooks<TrainingEvent> = {},
): Promise<RunOutcome> {
  checkNumbers(options);
  const caller = new Caller(hooks);
  const workers = workersFor(options, caller);
  const settled = { ...TRAIN_DEFAULTS, ...options, workers, threads: threadsFor(options) };
  const outcome = await trained(settled, caller);
  await caller.heard();
  return outcome;
}

async function trained(options: Settled, caller: Caller<TrainingEvent>): Promise<RunOutcome> {
  const { data: folder, out, force, val } = options;
  caller.checkSignal();
  checkFree(out ?? nextNumbered(folder), force);
  augmentNamed(options.augment);
  const kind = await executorFor(options, caller);
  const photos = await readDataSet({
    ...{ folder, ...options, share: options.valFraction },
    ...(val === undefined ? {} : { validation: val }),
  });
  caller.tell(dataSetEvent(photos));
  trainingBatchCount(photos.train.length, options.batch);
  caller.checkSignal();
  const beginning = await startFrom(options, photos, caller);
  try {
    caller.tell(weightsEvent(beginning));
    const request = memoryRequest(options, beginning);
    const fitting = await readyToTrain(jobOf(options, beginning, kind), request, caller);
    sayChoices(options, fitting.ready, caller);
    const takeFolder = () =>
      out === undefined ? TrainingFolder.takeNumbered(folder) : TrainingFolder.take(out, force);
    return await runTraining({ ...planOf(options, beginning, fitting), kind, takeFolder }, caller);
  } finally {
    beginning.start?.checkpoint.close();
  }
}

function sayChoices(
  { compare, threads }: Settled,
  { step, tables }: Ready,
  caller: Caller<PreparedEvent | ComparisonEvent>,
): void {
  if (tables) caller.tell({ event: 'prepared', ...tables });
  if (!tables && !compare) return;
  const comparison = compareWithFull(step, threads);
  if (comparison) caller.tell({ event: 'comparison', ...comparison });
}

function memoryRequest(
  { memory, workers }: Settled,
  { data: { train, validation }, preprocess }: TrainingStart,
): MemoryRequest | null {
  if (memory === undefined) return null;
  const paths = [...train, ...validation].map(({ path }) => path);
  const largest = largestReading(paths, preprocess.size);
  return { bytes: memory, images: paths.length, workers, largest };
}

interface ReadyToTrain {
  readonly ready: Ready;
  /** What was chosen for --memory; null without. */
  readonly memory: MemoryRecord | null;
}

/** Finds ranks and compiles; nothing is written. */
async function readyToTrain(
  job: TrainingRequest,
  request: MemoryRequest | null,
  caller: Caller<FittingEvent>,
): Promise<ReadyToTrain> {
  if (request) return readyWithin(job, request, caller);
  return { ready: await makeReady(job, caller), memory: null };
}

function jobOf(
  options: Settled,
  { data, start, model, preprocess }: TrainingStart,
  kind: ExecutorKind,
): TrainingRequest {
  const { seed, strict, threads, augment, cropSource } = options;
  const taken = options.memory === undefined ? takenUp(options, start) : {};
  const chosen = { ...options, ...taken, model, levels: preprocess };
  const method = startedMethod(options.method, givenKeys(chosen), start);
  return {
    options: chosen,
    // --memory chooses for itself.
    method: options.memory === undefined ? withUsualVariance(method, data.train.length) : method,
    start,
    kind,
    threads,
    seed,
    images: { kind: 'folder', files: data.train },
    preprocess,
    augment: augmentNamed(augment),
    cropSource,
    strict,
  };
}

/** What --memory chose for the run that this one starts from, where it is left open now. */
function takenUp(
  { batch, saved, microBatches, slices }: Settled,
  start: Start | null,
): Pick<StepOptions, 'saved' | 'microBatches' | 'slices'> {
  const chosen = start?.chosen;
  if (chosen?.batch !== batch) return {};
  return {
    saved: saved ?? chosen.saved,
    microBatches: microBatches ?? chosen.microBatches,
    slices: slices ?? chosen.slices,
  };
}

function planOf(
  options: Settled,
  beginning: TrainingStart,
  fitting: ReadyToTrain,
): Omit<RunPlan, 'kind' | 'takeFolder'> {
  const { data, start } = beginning;
  const { warmup, strict, threads, augment, workers, time, saveEvery } = options;
  const { step, tables, fill } = fitting.ready;
  return {
    settings: settingsOf(options, beginning, fitting),
    step,
    augment: augmentNamed(augment),
    train: { kind: 'folder', files: data.train },
    validation: { kind: 'folder', files: data.validation },
    warmup,
    ignored: start?.ignored ?? [],
    tables,
    fill: ({ executor }) => fill(executor),
    strict,
    ...(time === undefined ? {} : { timeMs: time }),
    ...(saveEvery === undefined ? {} : { saveEvery }),
    loading: { workers },
    cache: cacheFor(options),
    threads,
  };
}

function settingsOf(
  options: Settled,
  { data, start, preprocess, origin }: TrainingStart,
  { ready: { step, found }, memory }: ReadyToTrain,
): RunSettings {
  const { epochs, keepEvery, smoothing, seed, augment, cropSource } = options;
  const { optimizer, model } = step;
  return {
    ...stepSettings(step),
    found,
    ...(memory && { memory }),
    classes: data.classes,
    preprocess,
    augment,
    cropSource,
    learningRate: options.lr ?? defaultLearningRate(optimizer.name, model, start === null),
    smoothing,
    clip: options.clip ?? null,
    epochs,
    ...(keepEvery === undefined ? {} : { keepEvery }),
    seed,
    init: start?.text ?? null,
    ...(origin && { origin }),
    data: {
      from: data.trainFrom,
      validationFrom: data.validationFrom,
      trainImages: data.train.length,
      validationImages: data.validation.length,
    },
  };
}
