/**
 * activations: the options that each compressed input has, and the choice among them under one byte budget.
 *
 * An option is the Tucker ranks at one explained variance ε: for each mode the smallest rank with that share
 * of the mode's energy. It takes 4 (Π r_m + Σ D_m r_m) bytes, the sum over modes that are truncated (a mode
 * of full rank has no factor). The last option keeps the input as it is.
 *
 * The default budget is what the method's ε costs in every layer, which is one of the options: the same
 * bytes are spent where the gradient needs them.
 */
import type { HostData } from '../executors/executor.js';
import { elements, type Shape } from '../ir/types.js';
import { choose, leastBytes } from './choose.js';
import type { Site } from './sites.js';
import { rankAt } from './spectra.js';
import type { ActivationOption, ActivationRow, ActivationTable } from './types.js';

const EPSILONS = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9] as const;

/** f32. */
const BYTES = 4;

/** What a site's options are, before the choice. */
export type MeasuredInput = Omit<ActivationRow, 'chosen'>;

/** The explained variances to try, ascending: the usual ones and the method's own. */
export function triedEpsilons(epsilon: number): readonly number[] {
  return [...new Set([...EPSILONS, epsilon])].sort((a, b) => a - b);
}

/** Ranks by explained variance from the modes' eigenvalues. */
export function tuckerRanks(
  shape: Shape,
  energies: readonly ArrayLike<number>[],
  epsilon: number,
): readonly number[] {
  return shape.map((extent, mode) => {
    // An unfolding has no more directions than it has columns.
    const most = Math.min(extent, elements(shape) / extent);
    const positive = Array.from(energies[mode]).map((energy) => Math.max(0, energy));
    return Math.min(most, rankAt(positive, epsilon));
  });
}

export function tuckerBytes(shape: Shape, ranks: readonly number[]): number {
  const factors = shape.reduce(
    (sum, extent, mode) => sum + (ranks[mode] < extent ? extent * ranks[mode] : 0),
    0,
  );
  return BYTES * (elements(ranks) + factors);
}

/** −1 for the rows (a, b, …) with a < r_0, b < r_1, …; 0 for the others: an input of perplexityGraph. */
export function keptRows(shape: Shape, ranks: readonly number[]): Float32Array {
  const leading = shape.slice(0, -1);
  const mask = new Float32Array(elements(leading));
  for (let row = 0; row < mask.length; row++) {
    let rest = row;
    let kept = true;
    for (let mode = leading.length - 1; mode >= 0; mode--) {
      kept &&= rest % leading[mode] < ranks[mode];
      rest = Math.floor(rest / leading[mode]);
    }
    mask[row] = kept ? -1 : 0;
  }
  return mask;
}

/** Sums over the columns of x̂, as perplexityGraph gives them. */
export interface ColumnSums {
  readonly full: HostData;
  /** One for each option. */
  readonly errors: readonly HostData[];
  /** What each column is to be multiplied by, squared; null for 1. */
  readonly scale: ArrayLike<number> | null;
}

/** The options of a site with their perplexities. */
export function measuredInput(
  site: Site,
  ranks: readonly (readonly number[])[],
  { full, errors, scale }: ColumnSums,
): MeasuredInput {
  const { shape } = site.x.type;
  const columns = (sums: HostData, from: number, to: number) => {
    let sum = 0;
    for (let c = from; c < to; c++) sum += sums[c] * (scale?.[c] ?? 1);
    return sum;
  };
  const truncated = ranks.map((own, option): ActivationOption => {
    const inside = columns(errors[option], 0, own[shape.length - 1]);
    const outside = columns(full, own[shape.length - 1], full.length);
    const perplexity = Math.sqrt(inside + outside);
    return { ranks: own, bytes: tuckerBytes(shape, own), perplexity };
  });
  const whole = { ranks: null, bytes: BYTES * elements(shape), perplexity: 0 };
  const gradientNorm = Math.sqrt(columns(full, 0, full.length));
  return { weight: site.weight, shape, gradientNorm, options: [...truncated, whole] };
}

/**
 * The choice with the least sum of perplexities. Throws BudgetError naming the minimum.
 *
 * @param budget bytes; absent: what `epsilon` costs in every layer.
 */
export function chooseActivations(
  inputs: readonly MeasuredInput[],
  epsilon: number,
  budget: number | undefined,
): ActivationTable {
  const epsilons = triedEpsilons(epsilon);
  const uniform = inputs.map(({ options }) => options[epsilons.indexOf(epsilon)]);
  const bytesOf = (options: readonly ActivationOption[]) =>
    options.reduce((sum, { bytes }) => sum + bytes, 0);
  const layers = inputs.map(({ options }) =>
    options.map(({ bytes, perplexity }) => ({ bytes, loss: perplexity })),
  );
  const budgetBytes = budget ?? bytesOf(uniform);
  const chosen = choose(layers, budgetBytes, 'Tucker cores and factors');
  return {
    epsilon,
    epsilons,
    budgetBytes,
    bytes: bytesOf(inputs.map(({ options }, layer) => options[chosen[layer]])),
    minimumBytes: leastBytes(layers),
    fullBytes: bytesOf(inputs.map(({ options }) => options[options.length - 1])),
    layers: inputs.map((input, layer) => ({ ...input, chosen: chosen[layer] })),
  };
}

/** Tucker ranks by weight; inputs that are kept as they are have none. */
export function chosenRanks(table: ActivationTable): Readonly<Record<string, readonly number[]>> {
  return Object.fromEntries(
    table.layers.flatMap(({ weight, options, chosen }) => {
      const { ranks } = options[chosen];
      return ranks === null ? [] : [[weight, ranks]];
    }),
  );
}
