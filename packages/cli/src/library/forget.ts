/** forget: takes a class or single images out of what a run knows, without training again. */
import { checkNumbers } from './limits.js';
import { ConfigError, type ForgettingScores, type Share } from '@thimble/core';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { SkippedImage } from '../data/loader.js';
import { dataSetEvent, type DataSetEvent } from '../data/report.js';
import {
  Caller,
  type Hooks,
  type NoteEvent,
  type ProgressEvent,
  type WritingEvent,
  type WrittenEvent,
} from '../events/caller.js';
import {
  baseOf,
  forgetImages,
  passOf,
  shareOf,
  type ForgetRequest,
  type Forgetting,
  type Trial,
} from '../forget/forgetting.js';
import { forgettingImages, readRunImages, type ForgetTarget } from '../forget/images.js';
import { keepForgotten, undoForgotten } from '../forget/keep.js';
import type { ForgottenRecord } from '../run/forgotten.js';
import { openRun, type OpenRun } from '../run/open.js';
import { CHECKPOINTS } from '../run/saves.js';
import { preprocessFor } from '../source/start.js';
import { TrainingFolder } from '../training/folder.js';
import {
  executorFor,
  threadsFor,
  workersFor,
  type ExecutorOptions,
  type WorkerOptions,
} from './work.js';

export interface ForgetOptions extends ExecutorOptions, WorkerOptions {
  /** The run folder. */
  readonly run: string;
  /** The class to forget; or `files`. */
  readonly class?: string;
  /** A file that lists images of training to forget, one path a line. */
  readonly files?: string;
  /** The folder of class folders; default: the one of the training. */
  readonly data?: string;
  /** Leaves out class folders of which nothing can be read, instead of refusing; default: off. */
  readonly allowEmpty?: boolean;
  /** Starts from the weights of the best epoch instead of the last; default: off. */
  readonly best?: boolean;
  /** Mean of squared gradients of single images (`sample`, default) or of batches (`batch`). */
  readonly importance?: ForgetRequest['importance'];
  /** Images at a time; default 16. */
  readonly batch?: number;
  /** Batches of the importance are of images in random order (default) instead of class by class. */
  readonly shuffle?: boolean;
  /** Importance by the norm of the logits instead of the loss; default: off. */
  readonly labelFree?: boolean;
  /** Dampens what matters so many times more; default: follows from the share of images to forget. */
  readonly alpha?: number;
  /** Scale of what is left of a weight; default 1. */
  readonly lambda?: number;
  /** Searches the strongest `alpha` that `budget` allows; default: off. */
  readonly sweep?: boolean;
  /** How far the retained accuracy may fall in a sweep; default 0.01. */
  readonly budget?: number;
  /** Writes nothing; default: off. */
  readonly dryRun?: boolean;
}

export const FORGET_DEFAULTS = {
  allowEmpty: false,
  best: false,
  importance: 'sample',
  batch: 16,
  shuffle: true,
  labelFree: false,
  lambda: 1,
  sweep: false,
  dryRun: false,
} as const satisfies Partial<ForgetOptions>;

type Keys = keyof typeof FORGET_DEFAULTS;
type Settled = Omit<ForgetOptions, Keys> & Required<Pick<ForgetOptions, Keys>>;

/** How far the retained accuracy may fall in a sweep where nothing is said. */
const DEFAULT_BUDGET = 0.01;

/** What happens while a run forgets. */
export type ForgettingEvent =
  NoteEvent | DataSetEvent | ProgressEvent | WritingEvent | WrittenEvent;

/** What was dampened, and how the run does before and after. */
export interface ForgetResult {
  readonly run: string;
  /** As the record of the run has it. */
  readonly record: ForgottenRecord;
  /** Weights of each group of layers, and how many of them were dampened. */
  readonly shares: readonly Share[];
  readonly before: ForgettingScores;
  readonly after: ForgettingScores;
  /** What a sweep tried; empty without one. */
  readonly trials: readonly Trial[];
  readonly warnings: readonly string[];
  /** Images that could not be read. */
  readonly skipped: readonly SkippedImage[];
  readonly plannedBytes: number;
  /** Of importance, threshold and dampening. */
  readonly seconds: number;
  /** Whether weights are factored, of which factors are dampened. */
  readonly isFactored: boolean;
  /** Of what undoing needs; null where nothing was written. */
  readonly undoBytes: number | null;
}

/**
 * Makes a run forget. Throws ConfigError for options that do not go together, DataError where the images are not
 * those of the training, and the reason of an aborted signal; the run stays as it was then.
 */
export async function forget(
  options: ForgetOptions,
  hooks: Hooks<ForgettingEvent> = {},
): Promise<ForgetResult> {
  checkNumbers(options);
  const caller = new Caller(hooks);
  const settled = { ...FORGET_DEFAULTS, ...options };
  const target = targetOf(settled);
  const { run, best, dryRun } = settled;
  return writing(caller, run, best, async () => {
    const folder = dryRun ? null : TrainingFolder.retake(run);
    try {
      return await forgotten(folder, target, settled, caller);
    } finally {
      folder?.close();
    }
  });
}

/** Which run gets its weights back. */
export interface UndoForgettingOptions {
  /** The run folder. */
  readonly run: string;
  /** Refuses a run without weights of a best epoch; default: off. */
  readonly best?: boolean;
}

/** What a run had forgotten, and knows again. */
export interface UndoForgettingResult {
  readonly run: string;
  readonly undone: readonly ForgottenRecord[];
}

/** Brings back the weights that training left, bit for bit. Throws ConfigError where nothing was forgotten. */
export async function undoForgetting(
  { run, best = false }: UndoForgettingOptions,
  hooks: Hooks<WritingEvent | WrittenEvent> = {},
): Promise<UndoForgettingResult> {
  const caller = new Caller(hooks);
  return writing(caller, run, best, async () => {
    const folder = TrainingFolder.retake(run);
    try {
      const { record, checkpoint } = openRun(run, best);
      checkpoint.close();
      await undoForgotten(folder, record);
      return { run, undone: record.forgotten ?? [] };
    } finally {
      folder.close();
    }
  });
}

/** Refuses what is no run before anything is locked. */
async function writing<T>(
  caller: Caller<WritingEvent | WrittenEvent>,
  run: string,
  best: boolean,
  work: () => Promise<T>,
): Promise<T> {
  caller.tell({ event: 'writing' });
  try {
    openRun(run, best).checkpoint.close();
    return await work();
  } finally {
    caller.tell({ event: 'written' });
  }
}

function targetOf({ class: name, files: list, budget, sweep }: Settled): ForgetTarget {
  const given = [name, list].filter((value) => value !== undefined).length;
  if (given !== 1) {
    const got = given === 2 ? 'both' : 'neither';
    throw misused('--class, --files', 'what to forget, or --undo', got, 'Say one of them');
  }
  if (budget !== undefined && !sweep) {
    throw misused('--budget', '--sweep', 'none', 'Add --sweep, or leave --budget out');
  }
  return name === undefined ? { kind: 'files', list: list ?? '' } : { kind: 'class', name };
}

async function forgotten(
  folder: TrainingFolder | null,
  target: ForgetTarget,
  options: Settled,
  caller: Caller<ForgettingEvent>,
): Promise<ForgetResult> {
  const { run, best, batch } = options;
  const opened = openRun(run, best);
  try {
    const { record } = opened;
    const data = await readRunImages({
      ...{ run, record, folder: options.data, allowEmpty: options.allowEmpty },
      note: (text) => {
        caller.note('data', text);
      },
    });
    caller.tell(dataSetEvent(data));
    noteOtherImages(record.data, [data.train.length, data.validation.length], caller);
    const kind = await executorFor(options, caller);
    const means = {
      ...{ kind, batch, caller },
      threads: threadsFor(options),
      workers: workersFor(options, caller),
      preprocess: preprocessFor(record.model.config, record.preprocess),
    };
    const images = forgettingImages(data, target);
    const forgetting = await forgetImages(opened, images, requestOf(options), means);
    const name = target.kind === 'class' ? record.classes[images.forgotten[0].label] : null;
    const made = recordOf(forgetting, name, options);
    caller.checkSignal();
    const { changes, values: after } = forgetting;
    const undoBytes =
      folder && changes.size > 0
        ? await keepForgotten(folder, record, { record: made, changes, after })
        : null;
    if (undoBytes !== null) noteWhatStill(run, caller);
    const isFactored = (opened.model.forms ?? []).length > 0;
    return resultOf(forgetting, { run, record: made, isFactored, undoBytes });
  } finally {
    opened.checkpoint.close();
  }
}

function resultOf(
  forgetting: Forgetting,
  made: Pick<ForgetResult, 'run' | 'record' | 'isFactored' | 'undoBytes'>,
): ForgetResult {
  const { shares, before, after, trials, warnings, skipped, seconds, plannedBytes } = forgetting;
  return { ...made, shares, before, after, trials, warnings, skipped, seconds, plannedBytes };
}

function recordOf(
  { alpha, shares, images }: Forgetting,
  name: string | null,
  options: Settled,
): ForgottenRecord {
  const { best, sweep, batch, importance, lambda, labelFree } = options;
  const request = requestOf(options);
  return {
    class: name,
    images: images.forgotten.length,
    weights: best ? 'best' : 'last',
    ...{ alpha, lambda },
    threshold: sweep ? 'swept' : request.alpha === null ? 'automatic' : 'given',
    share: shareOf(shares),
    ...{ importance, pass: passOf(request, batch), labelFree },
    base: baseOf(request),
  };
}

function requestOf(options: Settled): ForgetRequest {
  const { importance, labelFree, shuffle: shuffled, alpha = null, lambda } = options;
  const budget = options.sweep ? (options.budget ?? DEFAULT_BUDGET) : null;
  return { importance, labelFree, shuffled, alpha, lambda, budget };
}

function noteOtherImages(
  { trainImages, validationImages }: OpenRun['record']['data'],
  [train, validation]: readonly [number, number],
  caller: Caller<never>,
): void {
  if (train === trainImages && validation === validationImages) return;
  caller.note(
    'data',
    `${String(train)} and ${String(validation)} images, where training had ` +
      `${String(trainImages)} and ${String(validationImages)}: some may have changed sides.`,
  );
}

/** Files beside the run that were made from its weights before. */
function noteWhatStill(run: string, caller: Caller<never>): void {
  const still = ['merged.safetensors', 'export', CHECKPOINTS].filter((name) =>
    existsSync(join(run, name)),
  );
  if (still.length === 0) return;
  const all = still.join(' and ');
  caller.note(
    'result',
    `${all} in ${run} still know what was forgotten; make them again, or remove them.`,
  );
}

function misused(where: string, expected: string, got: string, todo: string): ConfigError {
  return new ConfigError({ where, expected, got, todo });
}
