/**
 * What `prepare` takes and returns: everything that happens once before a factored model is trained.
 *
 *   prepare(options: PrepareOptions): Promise<Preparation>
 *
 * Terms. A *linear* is y = x Wᵀ + b with W [O, I]; its *rank* K is the inner extent of W ≈ L R; a linear
 * without a rank stays dense. *Calibration* images are those on which layers are measured. The *table* of
 * a choice is the plain data that it was made from, kept with a run.
 */
import type { ModelBuilder } from '../compile.js';
import type { Executor, ExecutorKind } from '../executors/executor.js';
import type { Shape } from '../ir/types.js';
import {
  list,
  nullable,
  number,
  objectOf,
  oneOf,
  refined,
  text,
  whole,
  type Reader,
} from '../schema/index.js';
import type { Probe } from '../methods/found.js';
import type { BoundMethod } from '../methods/method.js';
import type { Ranks, Truncation } from '../methods/ranks.js';
import type { Batches } from '../train/batch.js';
import type { LoadReport, WeightSource } from '../train/weights.js';

/** What ranks may take, where it is not the method's ε that says it. */
export interface RankBudgets {
  /** Bytes of all factored weights; default: those of the paper's rule at the method's ε. */
  readonly weightBytes?: number;
  /** Bytes of all Tucker cores and factors; default: those of the method's ε in every layer. */
  readonly activationBytes?: number;
}

export interface PrepareOptions extends RankBudgets {
  /** The dense model with the classes of the user's data. */
  readonly model: ModelBuilder;
  /** `method.probe` says what is to be found; what it trains is what may be factored. */
  readonly method: BoundMethod;
  /** Dense weights, or those of a run that was factored already. */
  readonly source: WeightSource;
  /**
   * Training batches of so many `images`, at most those of a pass; iterated once and left early. Asked
   * for only where `needsImages` says so.
   */
  readonly batches: (images: number) => Batches;
  readonly kind: ExecutorKind;
  readonly threads: number;
  /** Images of a micro-batch, as the training program has them: Tucker ranks are for so many. */
  readonly batch: number;
  readonly seed: number;
  /** Told after every part. */
  readonly onProgress?: (event: PrepareEvent) => void;
  /**
   * So many bytes of array buffers have been let go, or soon will be. Collectors that do not count such
   * bytes let them wait; who can, collects here.
   */
  readonly onDropped?: (bytes: number) => void;
  /** Aborting rejects with the signal's reason after the call under way. */
  readonly signal?: AbortSignal;
}

/** A part of preparing is done. */
export interface PrepareEvent {
  readonly event: 'prepare';
  /**
   * forward    the calibration images run through the dense model
   * measure    spectra of a block's weights, second moments, options of its inputs
   * factor     a block's weights are decomposed and written
   */
  readonly stage: 'forward' | 'measure' | 'factor';
  /** Parts done of this stage, from 1 to `total`. */
  readonly done: number;
  readonly total: number;
  /** What was done: `blocks.3`. */
  readonly what: string;
}

/** What was found on the user’s images, and how the weights come into an executor. */
export interface Preparation {
  readonly ranks: Ranks;
  /** `method` with the ranks: what to compile. */
  readonly method: BoundMethod;
  readonly tables: PrepareTables;
  /**
   * The same measurements with ranks chosen under these budgets; at once, since nothing runs. Throws
   * BudgetError when a budget is below its table's `minimumBytes`, ExecutorError after `emitWeights`.
   */
  within(budgets: RankBudgets): Preparation;
  /**
   * Writes every parameter into an executor that holds a program of `method`: the factored counterpart
   * of `loadWeights`, one dense weight in memory at a time. Throws CheckpointError before
   * anything is written, and ExecutorError when factored weights are asked for a second time: what they
   * are made from is let go.
   */
  emitWeights(executor: Executor): Promise<LoadReport>;
}

/** Plain data; null where the method does not ask for it or the weights came factored. */
export interface PrepareTables {
  readonly weights: WeightTable | null;
  readonly activations: ActivationTable | null;
}

/** From what the ranks of weights were chosen. */
export interface WeightTable {
  readonly epsilon: number;
  readonly truncation: Truncation;
  /** Images on which outputs were measured; 0 for plain truncation. */
  readonly images: number;
  readonly budgetBytes: number;
  /** What the layers take at the ranks chosen, at their smallest ranks, and dense. */
  readonly bytes: number;
  readonly minimumBytes: number;
  readonly denseBytes: number;
  readonly layers: readonly WeightRow[];
}

/** What was chosen for one weight W [outputs, inputs]. */
export interface WeightRow {
  readonly weight: string;
  readonly outputs: number;
  readonly inputs: number;
  /** null: stays dense. */
  readonly rank: number | null;
  /** What the paper's rule gives at ε; null: dense. */
  readonly plainRank: number | null;
  readonly bytes: number;
  /** What truncation loses, as a share of the layer's energy in the metric of the choice. */
  readonly lost: number;
}

/** From what the forms of saved inputs were chosen. */
export interface ActivationTable {
  /** ε of the method, which sets the default budget. */
  readonly epsilon: number;
  /** The explained variances that were tried in every layer. */
  readonly epsilons: readonly number[];
  readonly budgetBytes: number;
  readonly bytes: number;
  readonly minimumBytes: number;
  /** What the inputs take as they are. */
  readonly fullBytes: number;
  readonly layers: readonly ActivationRow[];
}

/** What was found for the input of one linear. */
export interface ActivationRow {
  readonly weight: string;
  /** Of the linear's input in a training pass, batch first. */
  readonly shape: Shape;
  /** ‖dW‖_F of the batch that was measured. */
  readonly gradientNorm: number;
  /** One for each of `epsilons`; again with the first mode whole; last the input as it is. */
  readonly options: readonly ActivationOption[];
  /** Index into `options`. */
  readonly chosen: number;
}

/** One way to save a linear’s input, with what it costs and loses. */
export interface ActivationOption {
  /** One for each mode; null: the input stays as it is. */
  readonly ranks: readonly number[] | null;
  readonly bytes: number;
  /** ‖dW̃ − dW‖_F, dW̃ from the truncated input. */
  readonly perplexity: number;
}

const NAME = text({ most: 1000 });
const EXTENT = whole({ most: 2 ** 31 });
const RANK = whole({ most: 1_000_000 });
const BYTES = number({ least: 0 });
const SHARE = number({ above: 0, most: 1 });

const weightRow: Reader<WeightRow> = objectOf<WeightRow>({
  weight: NAME,
  outputs: EXTENT,
  inputs: EXTENT,
  rank: nullable(RANK),
  plainRank: nullable(RANK),
  bytes: BYTES,
  lost: number(),
});

const activationOption: Reader<ActivationOption> = objectOf<ActivationOption>({
  ranks: nullable(list(RANK, { least: 1, most: 8 })),
  bytes: BYTES,
  perplexity: number(),
});

const activationRow: Reader<ActivationRow> = refined(
  objectOf<ActivationRow>({
    weight: NAME,
    shape: list(EXTENT, { least: 1, most: 8 }),
    gradientNorm: number({ least: 0 }),
    options: list(activationOption, { least: 1, most: 1000 }),
    chosen: whole({ least: 0, most: 999 }),
  }),
  ({ options, chosen }, place) => {
    const { length } = options;
    if (chosen >= length) place.at('chosen').fail(`one of the ${String(length)} options`, chosen);
  },
);

/** Tables as they were written down. */
export const tablesReader: Reader<PrepareTables> = objectOf<PrepareTables>({
  weights: nullable(
    objectOf<WeightTable>({
      epsilon: SHARE,
      truncation: oneOf('plain', 'data'),
      images: whole({ least: 0, most: 2 ** 31 }),
      budgetBytes: BYTES,
      bytes: BYTES,
      minimumBytes: BYTES,
      denseBytes: BYTES,
      layers: list(weightRow, { most: 10_000 }),
    }),
  ),
  activations: nullable(
    objectOf<ActivationTable>({
      epsilon: SHARE,
      epsilons: list(SHARE, { most: 1000 }),
      budgetBytes: BYTES,
      bytes: BYTES,
      minimumBytes: BYTES,
      fullBytes: BYTES,
      layers: list(activationRow, { most: 10_000 }),
    }),
  ),
});

/** True when `prepare` reads images: to truncate in the metric of the data, or for Tucker ranks. */
export function needsImages(probe: Probe | null): boolean {
  return probe !== null && (probe.weights?.truncation === 'data' || probe.activations !== null);
}
