/**
 * spectra: from the energies of each layer's components to ranks under one byte budget. Pure functions.
 *
 * Terms. A layer's *energies* λ₁ ≥ λ₂ ≥ … ≥ 0 say what each component of its weight is worth; a layer cut to
 * rank K loses Σ_{j>K} λ_j. *Plain* energies are the weight's squared singular values σ_j²; energies in the
 * metric of the data are comparable between layers (factor.ts). A layer of W [O, I] takes 4 K(I + O) bytes at
 * rank K and 4 O·I dense; where K(I + O) ≥ O·I it stays dense, which costs no more and loses nothing.
 */
import { choose, leastBytes, type Option } from './choose.js';

/** f32. */
const BYTES = 4;

/**
 * Ranks are whole multiples of this, or powers of two below it: the narrowest register tile of the matrix
 * kernels is 8 columns, so a rank between two multiples costs the time of the upper one.
 */
const RANK_STEP = 8;

/** How the energy of a weight W [outputs, inputs] falls off along its directions. */
export interface LayerSpectrum {
  readonly weight: string;
  readonly outputs: number;
  readonly inputs: number;
  /** Descending; at most min(O, I) of them. */
  readonly energies: ArrayLike<number>;
}

/** K of a layer; null: it stays dense. */
export type Rank = number | null;

/**
 * The smallest K with Σ_{j≤K} λ_j ≥ ε Σ λ_j. ε = 1 gives the full rank: a sum of rounded numbers may never
 * reach the whole.
 */
export function rankAt(energies: ArrayLike<number>, epsilon: number): number {
  if (epsilon >= 1) return energies.length;
  const target = epsilon * sumFrom(energies, 0);
  let sum = 0;
  for (let rank = 1; rank < energies.length; rank++) {
    sum += energies[rank - 1];
    if (sum >= target) return rank;
  }
  return energies.length;
}

/** The paper's rule: K at ε in every layer by itself, dense where that is no larger. */
export function plainRanks(spectra: readonly LayerSpectrum[], epsilon: number): readonly Rank[] {
  return spectra.map((layer) => {
    const rank = rankAt(layer.energies, epsilon);
    return isSmaller(layer, rank) ? rank : null;
  });
}

/** The largest ε whose plain ranks take at most `bytes`. Throws BudgetError below rank 1 everywhere. */
export function plainRanksForBytes(
  spectra: readonly LayerSpectrum[],
  bytes: number,
): readonly Rank[] {
  const smallest = spectra.map((layer) => optionsOf(layer, RANK_STEP).slice(0, 1));
  choose(smallest, bytes, WHAT);
  let ranks: readonly Rank[] = smallest.map(([{ rank }]) => rank);
  let [low, high] = [0, 1];
  // Every halving of ε's interval either finds ranks that fit or rules its upper half out.
  for (let halving = 0; halving < 40; halving++) {
    const middle = halving === 0 ? 1 : (low + high) / 2;
    const found = plainRanks(spectra, middle);
    if (rankBytes(spectra, found) > bytes) high = middle;
    else [low, ranks] = [middle, found];
  }
  return ranks;
}

/** What the layers' weights take at `ranks`. */
export function rankBytes(spectra: readonly LayerSpectrum[], ranks: readonly Rank[]): number {
  return spectra.reduce((sum, layer, index) => sum + layerBytes(layer, ranks[index]), 0);
}

export function layerBytes({ outputs, inputs }: LayerSpectrum, rank: Rank): number {
  return BYTES * (rank === null ? outputs * inputs : rank * (outputs + inputs));
}

/**
 * Ranks whose energies lost, summed over all layers, are least within `bytes`. Throws BudgetError naming the
 * least that is possible.
 *
 * @param step ranks are multiples of this, or powers of two below it.
 */
export function ranksForBytes(
  spectra: readonly LayerSpectrum[],
  bytes: number,
  step: number = RANK_STEP,
): readonly Rank[] {
  const layers = spectra.map((layer) => optionsOf(layer, step));
  return choose(layers, bytes, WHAT).map((option, layer) => layers[layer][option].rank);
}

/** The least bytes that ranks can be chosen for: rank 1 everywhere. */
export function minimumBytes(spectra: readonly LayerSpectrum[]): number {
  return leastBytes(spectra.map((layer) => optionsOf(layer, RANK_STEP)));
}

/** Share of the energy that a layer loses at `rank`: 0 dense, 1 for nothing left. */
export function lostShare({ energies }: LayerSpectrum, rank: Rank): number {
  const total = sumFrom(energies, 0);
  return rank === null || total === 0 ? 0 : sumFrom(energies, rank) / total;
}

const WHAT = 'factored weights';

interface RankOption extends Option {
  readonly rank: Rank;
}

/** The ranks below the dense size, ascending, then dense. */
function optionsOf(layer: LayerSpectrum, step: number): readonly RankOption[] {
  const { energies } = layer;
  const result: RankOption[] = [];
  for (let rank = 1; rank <= energies.length && isSmaller(layer, rank);) {
    result.push({ rank, bytes: layerBytes(layer, rank), loss: sumFrom(energies, rank) });
    rank = rank < step ? Math.min(2 * rank, step) : rank + step;
  }
  return [...result, { rank: null, bytes: layerBytes(layer, null), loss: 0 }];
}

function isSmaller({ outputs, inputs }: LayerSpectrum, rank: number): boolean {
  return rank * (outputs + inputs) < outputs * inputs;
}

/** From the small end, so that the tail's own digits survive. */
function sumFrom(energies: ArrayLike<number>, first: number): number {
  let sum = 0;
  for (let index = energies.length - 1; index >= first; index--) sum += energies[index];
  return sum;
}
