/**
 * Ranks: the sizes that a factored form is compiled with. Plain data, saved with a run.
 *
 * A method that factors weights or activations has static shapes like everything else, so its ranks
 * are chosen before it is compiled: by `prepare` from the user's weights and images, or, for a plan
 * without weights, by the method from a typical spectrum.
 */
import { list, objectOf, record, whole, type Reader } from '../schema/index.js';

/** Inner extents of factored weights and of compressed inputs. */
export interface Ranks {
  /** K of each factored weight, by its name in the dense model; an absent weight stays dense. */
  readonly weights: Readonly<Record<string, number>>;
  /**
   * Tucker ranks of a linear's input, one for each axis, by the name of the linear's weight; an
   * absent input is kept as it is.
   */
  readonly activations: Readonly<Record<string, readonly number[]>>;
}

const RANK = whole({ most: 1_000_000 });

/** Ranks that are some; whether a model has them says `checkRanks`. */
export const ranksReader: Reader<Ranks> = objectOf<Ranks>({
  weights: record(RANK, { most: 10_000 }),
  activations: record(list(RANK, { least: 1, most: 8 }), { most: 10_000 }),
});

/** Nothing is factored. */
export const NO_RANKS: Ranks = { weights: {}, activations: {} };

/** Which linears a method acts on: those of the MLPs, or those of attention as well. */
export type Layers = 'mlp' | 'all';

/** How a weight is truncated: by its own singular values, or by the energy of its outputs. */
export type Truncation = 'plain' | 'data';

/** What is to be measured so that weights can be factored. */
export interface WeightNeed {
  /**
   * Explained variance ε in (0, 1]: the bytes that all factored weights may take are those of the
   * smallest ranks with Σ_{j≤K} σ_j² ≥ ε Σ σ_j², layer by layer.
   */
  readonly epsilon: number;
  readonly layers: Layers;
  readonly truncation: Truncation;
}

/** What is to be measured so that saved inputs can be compressed. */
export interface ActivationNeed {
  /** Explained variance in (0, 1] of each mode: sets the byte budget of all cores and factors. */
  readonly epsilon: number;
  readonly layers: Layers;
  readonly refresh: Refresh;
  /**
   * Ranks that take more work than the input as it is are not chosen, unless a budget of bytes is asked
   * for.
   */
  readonly onlyCheaper: boolean;
}

/** How the factors of a compressed input follow it from step to step (tucker.ts). */
export type Refresh = 'whole' | 'sequential' | 'decompose';
