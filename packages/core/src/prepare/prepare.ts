/**
 * prepare: everything that happens once before a factored model is trained.
 *
 *   forward    calibration images through the dense model (calibrate.ts)
 *   measure    the blocks in reverse: spectra, second moments, options of inputs (measure.ts)
 *   choice     ranks under two byte budgets (spectra.ts, activations.ts)
 *   factor     weights decomposed and written, block by block (emit.ts)
 *
 * In memory at any time: the program of one block for CALIBRATION_BATCH images, or of one linear, and on the
 * host (held.ts) the inputs of the measured blocks for the calibration images in 8 bits, then, in the metric of
 * the data, 2n(n + 1) bytes for each factored weight, n = min(O, I). Both are independent of the images of a
 * micro-batch. Plain truncation alone needs no images and keeps nothing. Weights that a checkpoint holds as
 * factors are taken as they are.
 *
 * Planned for ViT-B/32, 224 px, two threads: programs of at most 97 MB, inputs 30 MB, moments 57 MB; with
 * plain truncation 81 MB and 7 MB of inputs; 13 MB and none where no input is compressed.
 *
 * Activations are measured on the weights of the checkpoint: truncation by data keeps a block's inputs close
 * to the dense model's.
 */
import { ExecutorError, required } from '../errors.js';
import type { Executor, HostData } from '../executors/executor.js';
import type { ModelGraph } from '../ir/graph.js';
import { isTrained, linears } from '../methods/linears.js';
import { narrowedLinears, savesWork } from '../methods/tucker-cost.js';
import { compressible } from '../methods/tucker-ranks.js';
import type { BoundMethod } from '../methods/method.js';
import type { Ranks, WeightNeed } from '../methods/ranks.js';
import { storedRanks } from '../train/factors.js';
import {
  loadWeights,
  matchWeights,
  type LoadReport,
  type WeightMatch,
  type WeightSource,
} from '../train/weights.js';
import {
  chooseActivations,
  chosenRanks,
  triedEpsilons,
  type MeasuredInput,
} from './activations.js';
import { calibrate, CALIBRATION_BATCH, NO_INPUTS, type Calibration } from './calibrate.js';
import { emitFactored, type FactoredPart, type FactoredSite } from './emit.js';
import { measurePart, type MeasuredPart, type MeasuredWeight } from './measure.js';
import { sitedParts, type SitedPart } from './sites.js';
import {
  layerBytes,
  lostShare,
  minimumBytes,
  plainRanks,
  plainRanksForBytes,
  rankBytes,
  ranksForBytes,
  type Rank,
} from './spectra.js';
import { Stage } from './stage.js';
import type {
  ActivationTable,
  PrepareEvent,
  PrepareOptions,
  Preparation,
  WeightTable,
} from './types.js';

/**
 * Finds the ranks that `options.method` asks for. Throws CheckpointError when the weights do not fit the
 * model, DataError without a batch of images, BudgetError when a budget is below the minimum.
 *
 * @example
 * const prepared = await prepare({ model, method, source, batches, kind, threads, batch, seed });
 * const program = compile({ model, method: prepared.method, optimizer, batch });
 * const executor = await kind.load(program, { threads });
 * const report = await prepared.emitWeights(executor);
 */
export async function prepare(options: PrepareOptions): Promise<Preparation> {
  const subject = subjectOf(options);
  const stage = new Stage(options);
  try {
    const measured = await measureAll(options, subject, stage);
    return chosenFrom(options, subject, { measured });
  } finally {
    await stage.dispose();
  }
}

/**
 * The choice of ranks from what was measured, under the byte budgets of the options.
 *
 * @param kept lets the measurements go when weights are emitted
 */
function chosenFrom(
  options: PrepareOptions,
  subject: Subject,
  kept: { measured: Measured | null },
): Preparation {
  const measured = takeOnce(kept.measured, 'within');
  const weights = weightChoice(options, subject, measured);
  const known = { ...subject.stored, ...weights.ranks };
  const activations = activationTable(options, subject, measured, known);
  const ranks: Ranks = {
    weights: known,
    activations: activations ? chosenRanks(activations) : {},
  };
  const method = options.method.with({ ranks });
  let parts: readonly FactoredPart[] | null = weights.parts;
  return {
    ranks,
    method,
    tables: { weights: weights.table, activations },
    within: (budgets) => chosenFrom({ ...options, ...budgets }, subject, kept),
    emitWeights: async (executor) => {
      const taken = takeOnce(parts, 'emitWeights');
      // The moments are let go with the parts, block by block.
      if (taken.length > 0) {
        parts = null;
        kept.measured = null;
      }
      return emit(options, subject, method, [...taken], executor);
    },
  };
}

/** What is measured. */
export interface Asked {
  /** Dense, or with the factors that the checkpoint holds. */
  readonly model: ModelGraph;
  /** Ranks of weights that came factored. */
  readonly stored: Readonly<Record<string, number>>;
  /** Names of the weights to factor, and of those whose inputs are compressed. */
  readonly weights: ReadonlySet<string>;
  readonly activations: ReadonlySet<string>;
}

interface Subject extends Asked {
  readonly match: WeightMatch;
}

function subjectOf(options: PrepareOptions): Subject {
  const { source, seed } = options;
  const asked = askedOf(options, source.shapes);
  return { ...asked, match: matchWeights(asked.model, source, seed) };
}

/** What is measured of weights with these shapes. */
export function askedOf(
  options: Pick<PrepareOptions, 'model' | 'method' | 'batch'>,
  shapes: WeightSource['shapes'],
): Asked {
  const { model: build, method } = options;
  const { probe } = method;
  const dense = build(calibrationBatch(options), 'eval');
  const shaped = method.forward(dense);
  const trained = probe?.weights ? linears(shaped, probe.weights.layers).filter(isTrained) : [];
  const held = probe?.activations ? compressible(shaped, probe.activations.layers) : [];
  const chosen = trained.map(({ weight }) => weight);
  const activations = new Set(held.map(({ weight }) => weight));
  const found = storedRanks(shapes);
  if (!chosen.some((weight) => found.has(weight))) {
    return { model: dense, stored: {}, weights: new Set(chosen), activations };
  }
  const stored = Object.fromEntries([...found].filter(([weight]) => chosen.includes(weight)));
  const model = method.with({ ranks: { weights: stored, activations: {} } }).forward(dense);
  return { model, stored, weights: new Set(), activations };
}

/** The parts of the model with the linears that are measured. */
export function askedParts({ model, weights, activations }: Asked): readonly SitedPart[] {
  const measured = linears(model, 'all').filter(
    ({ weight }) => weights.has(weight) || activations.has(weight),
  );
  return sitedParts(model, measured);
}

/** Images of one batch of calibration. */
function calibrationBatch({ batch }: Pick<PrepareOptions, 'batch'>): number {
  return Math.min(batch, CALIBRATION_BATCH);
}

interface Measured {
  readonly images: number;
  /** In the order in which the parts run. */
  readonly parts: readonly (SitedPart & { readonly result: MeasuredPart })[];
}

async function measureAll(
  options: PrepareOptions,
  subject: Subject,
  stage: Stage,
): Promise<Measured> {
  const { method } = options;
  const { match, weights, activations } = subject;
  const parts = askedParts(subject);
  const indices = [...parts.keys()].filter((index) => parts[index].sites.length > 0);
  if (indices.length === 0) return { images: 0, parts: [] };
  const data = weights.size > 0 && method.probe?.weights?.truncation === 'data';
  const calibration =
    data || activations.size > 0
      ? await calibrated(options, subject, stage, { parts, first: indices[0], all: data })
      : null;
  const last = parts.length - 2;
  const results = new Map<number, MeasuredPart>();
  let gradients: readonly HostData[] = calibration?.gradients ?? [];
  for (let index = last; index >= indices[0]; index--) {
    const { part, sites } = parts[index];
    const result = await measurePart({
      stage,
      part,
      weights: sites.filter(({ weight }) => weights.has(weight)),
      data,
      activations: sites.filter(({ weight }) => activations.has(weight)),
      epsilons: triedEpsilons(method.probe?.activations?.epsilon ?? 1),
      growth: options.batch / calibrationBatch(options),
      inputs: calibration?.take(index) ?? NO_INPUTS,
      gradients,
      read: match.contents,
    });
    ({ gradients } = result);
    results.set(index, { ...result, gradients: [] });
    const done = last - index + 1;
    progress(options, 'measure', part.name, done, last - indices[0] + 1);
  }
  return {
    images: calibration?.images ?? 0,
    parts: [...results].map(([index, result]) => ({ ...parts[index], result })).reverse(),
  };
}

interface CalibratedParts {
  readonly parts: readonly SitedPart[];
  readonly first: number;
  readonly all: boolean;
}

async function calibrated(
  options: PrepareOptions,
  { model, match }: Subject,
  stage: Stage,
  { parts, first, all }: CalibratedParts,
): Promise<Calibration> {
  const { logits } = model.graph.outputs;
  return calibrate({
    stage,
    parts: parts.map(({ part }) => part),
    first,
    all,
    batches: options.batches(calibrationBatch(options)),
    classes: model.graph.values[logits].type.shape[1],
    read: match.contents,
    onPart: (part, done, total) => {
      progress(options, 'forward', part.name, done, total);
    },
  });
}

interface WeightChoice {
  readonly ranks: Readonly<Record<string, number>>;
  readonly table: WeightTable | null;
  readonly parts: readonly FactoredPart[];
}

function weightChoice(
  { method, weightBytes }: PrepareOptions,
  { weights }: Subject,
  { images, parts }: Measured,
): WeightChoice {
  const need = method.probe?.weights;
  if (!need || weights.size === 0) return { ranks: {}, table: null, parts: [] };
  const all = parts.flatMap(({ result }) => result.weights);
  const ranks = chooseRanks(need, all, weightBytes);
  const rankOf = new Map(all.map(({ plain }, index) => [plain.weight, ranks[index]]));
  const factored = parts.map(({ part, sites, result }): FactoredPart => {
    const momentsOf = new Map(result.weights.map(({ plain, moments }) => [plain.weight, moments]));
    const own = sites.flatMap((site): readonly FactoredSite[] => {
      const rank = rankOf.get(site.weight) ?? null;
      const moments = momentsOf.get(site.weight) ?? null;
      return rank === null ? [] : [{ site, rank, moments }];
    });
    return { name: part.name, sites: own };
  });
  return {
    ranks: Object.fromEntries(
      [...rankOf].flatMap(([weight, rank]) => (rank === null ? [] : [[weight, rank]])),
    ),
    table: weightTable(need, all, ranks, images, weightBytes),
    parts: factored.filter(({ sites }) => sites.length > 0),
  };
}

function chooseRanks(
  { epsilon, truncation }: WeightNeed,
  all: readonly MeasuredWeight[],
  bytes: number | undefined,
): readonly Rank[] {
  const plain = all.map((weight) => weight.plain);
  const byRule = plainRanks(plain, epsilon);
  if (truncation === 'plain') {
    return bytes === undefined ? byRule : plainRanksForBytes(plain, bytes);
  }
  const spectra = all.map(({ spectrum }) => spectrum);
  return ranksForBytes(spectra, bytes ?? rankBytes(plain, byRule));
}

function weightTable(
  { epsilon, truncation }: WeightNeed,
  all: readonly MeasuredWeight[],
  ranks: readonly Rank[],
  images: number,
  budget: number | undefined,
): WeightTable {
  const plain = all.map((weight) => weight.plain);
  const byRule = plainRanks(plain, epsilon);
  return {
    epsilon,
    truncation,
    images,
    budgetBytes: budget ?? rankBytes(plain, byRule),
    bytes: rankBytes(plain, ranks),
    minimumBytes: minimumBytes(plain),
    denseBytes: rankBytes(
      plain,
      plain.map(() => null),
    ),
    layers: all.map(({ plain: layer, spectrum }, index) => ({
      weight: layer.weight,
      outputs: layer.outputs,
      inputs: layer.inputs,
      rank: ranks[index],
      plainRank: byRule[index],
      bytes: layerBytes(layer, ranks[index]),
      lost: lostShare(spectrum, ranks[index]),
    })),
  };
}

function activationTable(
  { method, activationBytes }: PrepareOptions,
  { model }: Subject,
  { parts }: Measured,
  weights: Readonly<Record<string, number | undefined>>,
): ActivationTable | null {
  const need = method.probe?.activations;
  const inputs: readonly MeasuredInput[] = parts.flatMap(({ result }) => result.activations);
  if (!need || inputs.length === 0) return null;
  const { epsilon, refresh, onlyCheaper } = need;
  if (!onlyCheaper || refresh === 'decompose') {
    return chooseActivations(inputs, epsilon, activationBytes);
  }
  const sites = parts.flatMap((part) => part.sites);
  const outputs = new Map(sites.map((site) => [site.weight, site.outputs]));
  const narrowed = narrowedLinears(model);
  return chooseActivations(inputs, epsilon, activationBytes, ({ weight, shape }, ranks) => {
    if (narrowed.has(weight)) return false;
    const width = required(outputs.get(weight), weight, 'a linear that was measured');
    return savesWork({ shape, outputs: width, rank: weights[weight] ?? null }, ranks, refresh);
  });
}

/** Throws ExecutorError when `what` was let go with the weights that were emitted. */
function takeOnce<T>(what: T | null, where: string): T {
  if (what !== null) return what;
  throw new ExecutorError({
    where,
    expected: 'a call before the weights are emitted',
    got: 'one after it',
    todo: 'Prepare again, or read the weights from the executor that has them',
  });
}

/** Empties `parts`. */
async function emit(
  options: PrepareOptions,
  { match }: Subject,
  method: BoundMethod,
  parts: FactoredPart[],
  executor: Executor,
): Promise<LoadReport> {
  const { model: build, source, seed } = options;
  const model = method.forward(build(1, 'eval'));
  if (parts.length === 0) return loadWeights(executor, model, source, seed);
  const stage = new Stage(options);
  const total = parts.length;
  try {
    const onPart = ({ name }: FactoredPart) => {
      progress(options, 'factor', name, total - parts.length, total);
    };
    await emitFactored({ stage, model, match, parts, onPart }, (name, data) => {
      executor.write(name, data);
    });
  } finally {
    await stage.dispose();
  }
  return match.report;
}

function progress(
  { onProgress }: PrepareOptions,
  stage: PrepareEvent['stage'],
  what: string,
  done: number,
  total: number,
): void {
  onProgress?.({ event: 'prepare', stage, what, done, total });
}
