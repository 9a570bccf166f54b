/**
 * activations: the options that each compressed input has, and the choice among them under one byte budget.
 *
 * Options are Tucker ranks at an explained variance ε: for each mode the smallest rank with that share of the
 * mode's energy. A second series leaves the first mode, the batch, whole: images differ more than tokens do,
 * so bytes are often better spent there. An option takes 4 (Π r_m + Σ D_m r_m) bytes, the sum over modes that
 * are truncated (a mode of full rank has no factor). The last option keeps the input as it is.
 *
 * Options are measured on at most CALIBRATION_BATCH images (calibrate.ts). For a larger pass the first mode's
 * ranks keep their share of the images, which is conservative: the energy of more images concentrates in fewer
 * of their directions, not in more. Ranks of tokens and channels are taken as they are; where a pass has many
 * more rows, its channels spread somewhat wider than what was measured.
 *
 * The default budget is what the method's ε costs in every layer, which is one of the options: the same
 * bytes are spent where the gradient needs them.
 *
 * A method whose saved tensors do not need the compressed inputs (what they are made from is saved for the
 * backward pass anyway, passes/saved.ts) asks for work to be saved instead (`ActivationNeed.onlyCheaper`).
 * Without a budget of bytes, options that take more work than the input as it is are then left out
 * (methods/tucker-cost.ts); an input that has no other option stays as it is, outside of the budget.
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

/** The energy of an input's modes. */
export interface ModeEnergies {
  /** Eigenvalues of each mode's Gram matrix, descending; of a very large mode only the first ones. */
  readonly modes: readonly ArrayLike<number>[];
  /** ‖x‖², the sum of all eigenvalues of any mode. */
  readonly total: number;
}

/** The ranks to try: at each ε, then at each ε with the first mode whole. */
export function rankOptions(
  shape: Shape,
  energies: ModeEnergies,
  epsilons: readonly number[],
): readonly (readonly number[])[] {
  const truncated = epsilons.map((epsilon) => tuckerRanks(shape, energies, epsilon));
  if (energies.modes[0].length < shape[0]) return truncated;
  return [...truncated, ...truncated.map((ranks) => [shape[0], ...ranks.slice(1)])];
}

/** Ranks by explained variance. */
export function tuckerRanks(
  shape: Shape,
  { modes, total }: ModeEnergies,
  epsilon: number,
): readonly number[] {
  return shape.map((extent, mode) => {
    const known = Array.from(modes[mode]).map((energy) => Math.max(0, energy));
    const rest = total - known.reduce((all, energy) => all + energy, 0);
    const all = known.length < extent ? [...known, Math.max(0, rest)] : known;
    // An unfolding has no more directions than it has columns.
    const most = Math.min(known.length, elements(shape) / extent);
    return Math.min(most, rankAt(all, epsilon));
  });
}

export function tuckerBytes(shape: Shape, ranks: readonly number[]): number {
  const factors = shape.reduce(
    (all, extent, mode) => all + (ranks[mode] < extent ? extent * ranks[mode] : 0),
    0,
  );
  return BYTES * (elements(ranks) + factors);
}

/**
 * −1 for the rows (a, b, …) with a < r_0, b < r_1, …; 0 for the others: an input of perplexityGraph.
 *
 * @param rotated directions known of each mode but the last
 */
export function keptRows(rotated: Shape, ranks: readonly number[]): Float32Array {
  const mask = new Float32Array(elements(rotated));
  for (let row = 0; row < mask.length; row++) {
    let rest = row;
    let kept = true;
    for (let mode = rotated.length - 1; mode >= 0; mode--) {
      kept &&= rest % rotated[mode] < ranks[mode];
      rest = Math.floor(rest / rotated[mode]);
    }
    mask[row] = kept ? -1 : 0;
  }
  return mask;
}

/** What perplexityGraph gives for a site. */
export interface GradientSums {
  /** ‖dW‖² */
  readonly total: number;
  /** ‖D_c‖² by column. */
  readonly full: HostData;
  /** One for each option. */
  readonly errors: readonly HostData[];
  /** True when the columns are all directions in which x has anything. */
  readonly isWhole: boolean;
}

/**
 * The options of a site with their perplexities.
 *
 * @param growth images of a micro-batch for each one that was measured: the first mode's extent and ranks
 *   grow as much
 */
export function measuredInput(
  site: Site,
  ranks: readonly (readonly number[])[],
  { total, full, errors, isWhole }: GradientSums,
  growth: number,
): MeasuredInput {
  const measured = site.x.type.shape;
  const shape = grown(measured, growth);
  const truncated = ranks.map((own, option): ActivationOption => {
    const rank = own[shape.length - 1];
    // With all columns known, what lies outside of the kept ones is added up, which loses no digits.
    let square = isWhole ? sum(full, rank) : total - sum(full, 0, rank);
    square += sum(errors[option], 0, rank);
    const perplexity = Math.sqrt(Math.max(0, square));
    return { ranks: grown(own, growth), bytes: tuckerBytes(shape, grown(own, growth)), perplexity };
  });
  const whole = { ranks: null, bytes: BYTES * elements(shape), perplexity: 0 };
  return {
    weight: site.weight,
    shape,
    gradientNorm: Math.sqrt(total),
    options: [...truncated, whole],
  };
}

/** The share of images stays what it is, rounded up. */
function grown(extents: Shape, growth: number): Shape {
  return extents.with(0, Math.ceil(extents[0] * growth - 1e-9));
}

function sum(values: HostData, from: number, to = values.length): number {
  let result = 0;
  for (let at = from; at < to; at++) result += values[at];
  return result;
}

/** Whether an option of an input is worth its work. */
export type Worth = (input: MeasuredInput, ranks: readonly number[]) => boolean;

/**
 * The choice with the least sum of perplexities. Throws BudgetError naming the minimum.
 *
 * @param budget bytes; absent: what `epsilon` costs in every layer.
 * @param worth options that are not are left out, unless there is a budget; absent: all are.
 */
export function chooseActivations(
  inputs: readonly MeasuredInput[],
  epsilon: number,
  budget: number | undefined,
  worth: Worth = () => true,
): ActivationTable {
  const epsilons = triedEpsilons(epsilon);
  const own = epsilons.indexOf(epsilon);
  const isOpen = (input: MeasuredInput, { ranks }: ActivationOption) =>
    budget !== undefined || ranks === null || worth(input, ranks);
  const kept = inputs.map((input) => input.options.filter((option) => isOpen(input, option)));
  const uniform = inputs.map(({ options }, at) =>
    kept[at].length > 1 ? options[own] : options[options.length - 1],
  );
  const bytesOf = (options: readonly ActivationOption[]) =>
    options.reduce((all, { bytes }) => all + bytes, 0);
  const layers = kept.map((options) =>
    options.map(({ bytes, perplexity }) => ({ bytes, loss: perplexity })),
  );
  // What is left may cost more bytes than ε does.
  const budgetBytes = budget ?? Math.max(bytesOf(uniform), leastBytes(layers));
  const chosen = choose(layers, budgetBytes, 'Tucker cores and factors').map((option, at) =>
    inputs[at].options.indexOf(kept[at][option]),
  );
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
