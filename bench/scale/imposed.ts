/**
 * From ranks that were measured on smaller models (ranks.ts) to those of the model that is benchmarked: block
 * to block, linear to linear, as shares of what there is. Each is the mean of the models that were measured.
 *
 *   weights    K / min(O, I), to the nearest multiple of 8, as `prepare` chooses them; a weight that stays
 *              dense counts with the K at which its factors are as large, and stays dense from there on
 *   inputs     r_m / D_m of each mode, rounded up; of images it is the share among those of one batch that was
 *              measured, which is what `prepare` takes for any number of images
 *
 * An input whose gradient would take more work in Tucker form stays as it is (`savesWork`,
 * `narrowedLinears`), as in `train`.
 * `train` then also moves bytes from one input to another where gradients feel them more; this does not.
 */
import {
  linears,
  narrowedLinears,
  savesWork,
  type ActivationNeed,
  type Layers,
  type ModelBuilder,
  type Probe,
  type Ranks,
  type WeightNeed,
} from '@thimble/core';
import type { LinearRanks, MeasuredRanks } from './ranks.js';
import { publishedShare } from './spectrum.js';

/** What `prepare` chooses ranks of weights from. */
const STEP = 8;

export interface ImposedOptions {
  /** What is to be benchmarked: as many blocks, with the same names. */
  readonly model: ModelBuilder;
  /** What was measured; the classifier does not matter. */
  readonly measured: ModelBuilder;
  readonly ranks: MeasuredRanks;
  /** Images that are compressed together: of a slice of a micro-batch. */
  readonly images: number;
  /** True: weights have the published share of ViT-B/32's MLPs at ε (spectrum.ts), whatever was measured. */
  readonly isPublished?: boolean;
}

/** What a method asks for, as it would be found. Throws Error for an ε that was not measured. */
export function imposedRanks(probe: Probe, options: ImposedOptions): Ranks {
  const weights = probe.weights ? weightRanks(probe.weights, options) : {};
  const { activations } = probe;
  return { weights, activations: activations ? tuckerRanks(activations, weights, options) : {} };
}

function weightRanks(
  { epsilon, layers, truncation }: WeightNeed,
  options: ImposedOptions,
): Ranks['weights'] {
  return Object.fromEntries(
    pairs(layers, options).flatMap(({ linear, from }) => {
      const found = modelsAt(options.ranks, epsilon, linear.weight);
      const published = Math.min(from.outputs, from.inputs) * publishedShare(epsilon);
      const own = found.map((ranks) => (options.isPublished ? published : ranks[truncation]));
      const rank = weightRank(linear, from, own);
      return rank === null ? [] : [[linear.weight, rank]];
    }),
  );
}

function tuckerRanks(
  { epsilon, layers, refresh, onlyCheaper }: ActivationNeed,
  weights: Readonly<Record<string, number | undefined>>,
  options: ImposedOptions,
): Ranks['activations'] {
  const { ranks, model, images } = options;
  const narrowed = onlyCheaper ? narrowedLinears(model(images, 'train')) : new Set();
  return Object.fromEntries(
    pairs(layers, options).flatMap(({ linear, from }) => {
      const { weight, outputs, x } = linear;
      if (narrowed.has(weight)) return [];
      const found = modelsAt(ranks, epsilon, weight).flatMap(({ tucker }) =>
        tucker ? [tucker] : [],
      );
      if (found.length === 0) return [];
      const { shape } = x.type;
      const own = inputRanks(shape, [ranks.images, ...from.x.type.shape.slice(1)], found);
      const compressed = { shape, outputs, rank: weights[weight] ?? null };
      const pays = !onlyCheaper || refresh === 'decompose' || savesWork(compressed, own, refresh);
      return pays ? [[weight, own]] : [];
    }),
  );
}

/** The linears of the model, each with the one that was measured for it. */
function pairs(layers: Layers, { model, measured, images }: ImposedOptions) {
  const small = new Map(linears(measured(1, 'train'), 'all').map((own) => [own.weight, own]));
  return linears(model(images, 'train'), layers).map((linear) => {
    const from = small.get(linear.weight);
    if (from) return { linear, from };
    throw new Error(`${linear.weight}: expected a linear that was measured, got none`);
  });
}

interface Sizes {
  readonly outputs: number;
  readonly inputs: number;
}

/** @param found of each model; null: dense */
export function weightRank(
  to: Sizes,
  from: Sizes,
  found: readonly (number | null)[],
): number | null {
  const shares = found.map(
    (rank) => (rank ?? breakEven(from)) / Math.min(from.outputs, from.inputs),
  );
  const rank = Math.min(to.outputs, to.inputs) * mean(shares);
  const chosen = Math.max(STEP, STEP * Math.round(rank / STEP));
  return chosen < breakEven(to) ? chosen : null;
}

/** @param found of each model */
export function inputRanks(
  to: readonly number[],
  from: readonly number[],
  found: readonly (readonly number[])[],
): readonly number[] {
  return to.map((extent, mode) => {
    const share = mean(found.map((ranks) => ranks[mode] / from[mode]));
    return Math.min(extent, Math.ceil(extent * share - 1e-9));
  });
}

/** K at which the factors are as large as the weight. */
function breakEven({ outputs, inputs }: Sizes): number {
  return (outputs * inputs) / (outputs + inputs);
}

function modelsAt(
  { models }: MeasuredRanks,
  epsilon: number,
  weight: string,
): readonly LinearRanks[] {
  return Object.entries(models).map(([name, byEpsilon]) => {
    const found: Readonly<Record<string, Readonly<Record<string, LinearRanks | undefined>>>> =
      byEpsilon;
    const ranks = found[String(epsilon)]?.[weight];
    if (ranks) return ranks;
    const got = Object.keys(byEpsilon).join(', ');
    throw new Error(`${name}, ${weight}: expected ranks at ε = ${String(epsilon)}, got ${got}`);
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
