/**
 * forgetting: from a run and its images to dampened weights, in the executor's memory; nothing is written here.
 *
 *   measure    outcomes of all images with the weights as they are; which images can be read
 *   learn      importance of the weights for the images to forget, and for the base
 *   threshold  α as given, automatic, or the strongest within a budget
 *   dampen     and measure again
 */
import {
  automaticShare,
  buildModel,
  compile,
  Forgetter,
  forgettingScores,
  importanceProgram,
  plannedBytes,
  Random,
  ratioBound,
  type Changes,
  type Executor,
  type ForgettingScores,
  type ImportanceSet,
  type ModelBuilder,
  type Share,
} from '@thimble/core';
import type { ImageFile } from '../data/folder.js';
import type { SkippedImage } from '../data/loader.js';
import type { ForgottenRecord } from '../run/forgotten.js';
import type { OpenRun } from '../run/open.js';
import { significant } from '../terminal/format.js';
import type { ForgettingImages } from './images.js';
import { batchesOf, loadedRun, measure, readable, type Means } from './model.js';
import { strongestAlpha } from './search.js';

/** Where more weights than this are dampened, the model gets smaller as a whole and nothing is selected. */
const MOST_DAMPENED = 0.5;

export interface ForgetRequest {
  readonly importance: ForgottenRecord['importance'];
  readonly labelFree: boolean;
  /** Batches of the importance are of images in random order, instead of class by class. */
  readonly shuffled: boolean;
  /** null: automatic. */
  readonly alpha: number | null;
  readonly lambda: number;
  /** How far the retained accuracy may fall, for the strongest α; null: no search. */
  readonly budget: number | null;
}

/** One α of a search. */
export interface Trial {
  readonly alpha: number;
  readonly share: number;
  readonly scores: ForgettingScores;
  readonly isWithin: boolean;
}

export interface Forgetting {
  readonly alpha: number;
  readonly shares: readonly Share[];
  readonly before: ForgettingScores;
  readonly after: ForgettingScores;
  readonly changes: Changes;
  /** New values of what changed. */
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly trials: readonly Trial[];
  readonly warnings: readonly string[];
  /** Images that were used, and those that could not be read. */
  readonly images: ForgettingImages;
  readonly skipped: readonly SkippedImage[];
  readonly plannedBytes: number;
  /** Of importance, threshold and dampening, without what is measured before and after. */
  readonly seconds: number;
}

/** Images of a micro-batch of importance. */
export function passOf({ importance }: ForgetRequest, batch: number): number {
  return importance === 'sample' ? 1 : batch;
}

/** What the importance for the images to forget is compared with. */
export function baseOf({ alpha, budget }: ForgetRequest): ForgottenRecord['base'] {
  return alpha === null || budget !== null ? 'retained' : 'all';
}

/** Forgets in memory. Throws what core and the executor throw, and the reason of the signal. */
export async function forgetImages(
  run: OpenRun,
  all: ForgettingImages,
  request: ForgetRequest,
  means: Means,
): Promise<Forgetting> {
  const { config } = run.record.model;
  const build: ModelBuilder = (batch, mode) => buildModel(config, { batch, mode });
  const { method } = run;
  const pass = passOf(request, means.batch);
  // Which images can be read is known when all have been; the passes are compiled for so many.
  const evaluation = compile({ model: build, method, batch: means.batch });
  const before = await withExecutor(await loadedRun(run, evaluation, means), (executor) =>
    measure(executor, all, means, 'measureBefore'),
  );
  const images = readable(all, before.skipped);
  const base =
    baseOf(request) === 'all' ? [...images.retained, ...images.forgotten] : images.retained;
  const program = importanceProgram({
    ...{ model: build, method, pass, evalBatch: means.batch, labelFree: request.labelFree },
    images: { forget: images.forgotten.length, base: base.length },
  });
  const scores = forgettingScores(before.outcomes);
  return withExecutor(await loadedRun(run, program, means), async (executor) => {
    const forgetter = new Forgetter(executor, method.forward(build(1, 'eval')), pass);
    const work = { executor, forgetter, images, request, means, before: scores };
    const started = performance.now();
    await learn(work, 'forget', images.forgotten, run.record.seed);
    await learn(work, 'base', base, run.record.seed);
    const { alpha, trials, warnings } = await threshold(work);
    const shares = await forgetter.shares(alpha);
    const changes = await forgetter.dampen({ alpha, lambda: request.lambda });
    const seconds = (performance.now() - started) / 1000;
    const after = forgettingScores(
      (await measure(executor, images, means, 'measureAfter')).outcomes,
    );
    return {
      ...{ alpha, shares, before: scores, after, changes, trials, images, seconds },
      values: await valuesOf(executor, changes),
      warnings: [...warnings, ...noEffect(changes, scores, after)],
      skipped: before.skipped,
      plannedBytes: plannedBytes(program, executor.threads),
    };
  });
}

/** What the steps of one forgetting share. */
interface Work {
  readonly executor: Executor;
  readonly forgetter: Forgetter;
  readonly images: ForgettingImages;
  readonly request: ForgetRequest;
  readonly means: Means;
  readonly before: ForgettingScores;
}

async function withExecutor<T>(
  executor: Executor,
  work: (executor: Executor) => Promise<T>,
): Promise<T> {
  try {
    return await work(executor);
  } finally {
    await executor.dispose();
  }
}

/** Adds up the importance for a set of images. */
async function learn(
  { forgetter, request, means }: Work,
  set: ImportanceSet,
  files: readonly ImageFile[],
  seed: number,
): Promise<void> {
  const ordered = request.shuffled ? Random.of(seed, 'forget', set).shuffle([...files]) : files;
  const task = set === 'forget' ? 'importanceOfForgotten' : 'importanceOfBase';
  const progress = { event: 'progress', task, total: files.length, accuracy: null } as const;
  let done = 0;
  means.caller.tell({ ...progress, done });
  for await (const batch of batchesOf(ordered, means)) {
    await forgetter.add(set, batch);
    means.caller.tell({ ...progress, done: (done += batch.real) });
  }
}

interface Threshold {
  readonly alpha: number;
  readonly trials: readonly Trial[];
  readonly warnings: readonly string[];
}

async function threshold(work: Work): Promise<Threshold> {
  const { forgetter, images, request } = work;
  const [forget, retained] = [images.forgotten.length, images.retained.length];
  const all = forget + retained;
  const first = request.alpha ?? (await forgetter.automaticAlpha(automaticShare(forget, all)));
  if (request.budget !== null) return sweep(work, first, request.budget);
  return { alpha: first, trials: [], warnings: boundWarning(request, first, forget, all) };
}

/** The strongest α within the budget; where none is, the weakest one that was tried, with a warning. */
async function sweep(work: Work, first: number, budget: number): Promise<Threshold> {
  const { forgetter, executor, images, request, means, before } = work;
  const trials: Trial[] = [];
  const tested = images.forgottenTest.length > 0 ? { ...images, forgotten: [] } : images;
  const least = (before.retainedAccuracy ?? NaN) - budget;
  const alpha = await strongestAlpha(first, async (candidate) => {
    const changes = await forgetter.dampen({ alpha: candidate, lambda: request.lambda });
    const measured = await measure(executor, { ...tested, retained: [] }, means, 'measureSweep');
    await forgetter.restore(changes);
    const scores = forgettingScores(measured.outcomes);
    // Accuracies are quotients of counts: a share of the budget's own size is within it.
    const share = shareOf(await forgetter.shares(candidate));
    const isWithin = (scores.retainedAccuracy ?? NaN) >= least - 1e-12 && share <= MOST_DAMPENED;
    trials.push({ alpha: candidate, share, scores, isWithin });
    return isWithin;
  });
  if (alpha !== null) return { alpha: leastKnown(trials), trials, warnings: [] };
  const weakest = Math.max(...trials.map((trial) => trial.alpha));
  const lost = 'no α that was tried keeps the retained accuracy within the budget';
  return { alpha: weakest, trials, warnings: [`${lost}; this is the weakest of them`] };
}

/** Of the trials within the budget the one that forgets most; of equal ones the weakest dampening. */
function leastKnown(trials: readonly Trial[]): number {
  const known = ({ scores }: Trial) => scores.forgottenAccuracy ?? 0;
  return trials
    .filter(({ isWithin }) => isWithin)
    .reduce((best, trial) => {
      const gain = known(best) - known(trial);
      return gain > 0 || (gain === 0 && trial.alpha > best.alpha) ? trial : best;
    }).alpha;
}

/** Selected elements as a share of all. */
export function shareOf(shares: readonly Share[]): number {
  const sum = (of: (share: Share) => number) => shares.reduce((all, each) => all + of(each), 0);
  return sum(({ selected }) => selected) / sum(({ elements }) => elements);
}

/** Where α can select nothing, whatever the weights: with the importance of single images, or of class-pure passes. */
function boundWarning(
  request: ForgetRequest,
  alpha: number,
  forget: number,
  all: number,
): readonly string[] {
  const bound = ratioBound(forget, all);
  const isBounded = request.importance === 'sample' || !request.shuffled;
  if (baseOf(request) !== 'all' || !isBounded || alpha < bound) return [];
  const passes = request.importance === 'sample' ? 'single images' : 'batches of one class';
  return [
    `with the importance of ${passes}, no weight can matter more than ${significant(bound)} times as much for ` +
      `${String(forget)} of ${String(all)} images as for all; α ${significant(alpha)} is not below that`,
  ];
}

/** What shows that nothing was forgotten. */
function noEffect(
  changes: Changes,
  before: ForgettingScores,
  after: ForgettingScores,
): readonly string[] {
  if (changes.size === 0) return ['no weight was selected: nothing was forgotten'];
  const { forgottenAccuracy } = before;
  if (forgottenAccuracy === null || forgottenAccuracy !== after.forgottenAccuracy) return [];
  return [
    forgottenAccuracy === 0
      ? 'the model knew none of the images to forget before'
      : 'the accuracy of the images to forget is as it was: choose a smaller α',
  ];
}

/** The values that the changed elements have now. */
async function valuesOf(
  executor: Executor,
  changes: Changes,
): Promise<ReadonlyMap<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const [name, { indices }] of changes) {
    const all = await executor.read(name);
    values.set(
      name,
      Float32Array.from(indices, (index) => all[index]),
    );
  }
  return values;
}
