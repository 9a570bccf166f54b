/**
 * The low-rank form of a linear y = x Wᵀ + b, W [O, I]: two parameters in place of W,
 *
 *   <weight>.left   L [O, K], LᵀL = I        <weight>.right   R [K, I]        W = L R
 *   z = x Rᵀ   [..., K]                      y = z Lᵀ + b     [..., O]
 *
 * Both are marked as sides of a product, so that the optimiser updates them as a pair
 * (optim/low-rank.ts) and keeps L orthonormal. They inherit from W whether they train and decay.
 *
 * Closed form: K(O + I) elements for O·I, so a rank pays below OI/(O + I). Saved for the backward
 * pass: x, as before, for dR, and z (BNK) for dL; neither where the gradient is a product.
 *
 * From scratch, L starts with random orthonormal columns and R as W would, times √(O/K): y has the
 * variance that the dense linear gives it. A pretrained W is decomposed by `prepare`.
 *
 * Reference: WASI, arXiv 2510.09160, section 3; L = U rather than its eq. 7, because every later
 * formula needs LᵀL = I.
 */
import { ConfigError } from '../errors.js';
import {
  outputValues,
  type Initial,
  type ModelGraph,
  type Parameter,
  type ValueId,
} from '../ir/graph.js';
import { sink } from '../ir/order.js';
import { regroup } from '../ir/rewrite.js';
import { f32 } from '../ir/types.js';
import type { WeightForm } from '../ir/weight-form.js';
import { GraphBuilder } from '../ops/builder.js';
import { matmul, TRANSPOSED_B } from '../ops/matmul.js';
import { isTrained, linears, type Linear } from './linears.js';
import { sumWithProduct } from './product.js';
import type { Layers, Ranks } from './ranks.js';

/**
 * The model with every linear that has a rank in `ranks.weights` in low-rank form. Throws ConfigError for
 * a rank that is no whole number from 1 to min(O, I), or that no dense linear of a block has.
 */
export function factorWeights(model: ModelGraph, ranks: Ranks): ModelGraph {
  const known: Readonly<Record<string, number | undefined>> = ranks.weights;
  const chosen = linears(model, 'all').filter(({ weight }) => known[weight] !== undefined);
  checkNames(ranks.weights, chosen);
  const builder = new GraphBuilder(model.graph);
  const first = model.graph.nodes.length;
  const behind = new Map<ValueId, readonly ValueId[]>();
  const operands = new Map<string, Readonly<Record<string, ValueId>>>();
  const forms = [...(model.forms ?? [])];
  for (const linear of chosen) {
    const { weight, x, form } = linear;
    if (form.kind !== 'dense') throw notDense(weight, form.kind);
    const rank = checkedRank(linear, known[weight] ?? NaN);
    const { left, right } = declareSides(builder, linear, rank);
    const name = `${form.node.name}.low`;
    const z = builder.emit(matmul, { a: x, b: right }, TRANSPOSED_B, name).y;
    behind.set(form.weight.id, [left.id, right.id]);
    forms.push(lowRankForm(form.weight, left.name, right.name, rank));
    operands.set(form.node.name, { ...form.node.inputs, a: z.id, b: left.id });
  }
  const graph = builder.build(outputValues(model.graph));
  const nodes = graph.nodes.map((node) => {
    const inputs = operands.get(node.name);
    return inputs ? { ...node, inputs } : node;
  });
  const placed = sink({ ...graph, nodes }, first);
  return { ...model, graph: regroup(placed, behind, new Set(behind.keys())), forms };
}

/** W = L R. */
function lowRankForm(weight: Parameter, left: string, right: string, rank: number): WeightForm {
  const { name, type } = weight;
  return {
    ...{ kind: 'low-rank', weight: name, shape: type.shape, parts: [left, right], added: [] },
    toDense: (read) => sumWithProduct(null, read(left), read(right), rank),
  };
}

/** L and R of a dense linear. */
function declareSides(builder: GraphBuilder, linear: Linear, rank: number) {
  const { weight, outputs, inputs, form } = linear;
  if (form.kind !== 'dense') throw notDense(weight, form.kind);
  const { trainable, decay, initial } = form.weight.source;
  const left = builder.parameter(`${weight}.left`, f32(outputs, rank), {
    trainable,
    decay,
    initial: { kind: 'orthonormal' },
    factor: { weight, side: 'left', form: 'low-rank' },
  });
  const right = builder.parameter(`${weight}.right`, f32(rank, inputs), {
    trainable,
    decay,
    initial: widened(initial, Math.sqrt(outputs / rank)),
    factor: { weight, side: 'right', form: 'low-rank' },
  });
  return { left, right };
}

/** The distribution with its width times `factor`. */
function widened(initial: Initial, factor: number): Initial {
  switch (initial.kind) {
    case 'truncatedNormal':
    case 'normal':
      return { ...initial, std: initial.std * factor };
    case 'uniform':
      return { ...initial, bound: initial.bound * factor };
    case 'zeros':
    case 'ones':
    case 'orthonormal':
      return initial;
  }
  return initial satisfies never;
}

/** K of every weight of `model` that lives in low-rank form. */
export function lowRanks(model: ModelGraph): Ranks['weights'] {
  const ranks: Record<string, number> = {};
  for (const { weight, form } of linears(model, 'all')) {
    if (form.kind === 'low-rank') ranks[weight] = form.left.type.shape[1];
  }
  return ranks;
}

/** Share of min(O, I) that the paper's rule takes at each ε: MLPs of a ViT-B, other ε interpolated. */
const TYPICAL: readonly (readonly [epsilon: number, share: number])[] = [
  [0, 0],
  [0.4, 0.08],
  [0.5, 0.12],
  [0.6, 0.176],
  [0.7, 0.232],
  [0.8, 0.319],
  [0.9, 0.456],
  [1, 1],
];

/**
 * Ranks of the trained linears of `layers` for a plan without weights. A linear whose rank would
 * not pay stays dense, as it does when ranks are found from weights.
 *
 * Reference: the keep ratios that WASI's code declares equivalent to ε = .4 … .9, times I O/(I + O).
 */
export function typicalWeightRanks(
  model: ModelGraph,
  epsilon: number,
  layers: Layers,
): Ranks['weights'] {
  const share = interpolated(epsilon);
  const ranks: Record<string, number> = {};
  for (const linear of linears(model, layers)) {
    const { weight, outputs, inputs } = linear;
    const rank = Math.max(1, Math.round(share * Math.min(outputs, inputs)));
    if (isTrained(linear) && pays(rank, outputs, inputs)) ranks[weight] = rank;
  }
  return ranks;
}

/** True when a rank takes fewer elements than the weight: K(O + I) < O·I. */
export function pays(rank: number, outputs: number, inputs: number): boolean {
  return rank * (outputs + inputs) < outputs * inputs;
}

function interpolated(epsilon: number): number {
  const at = TYPICAL.findIndex(([known]) => known >= epsilon);
  if (at < 1) return at < 0 ? 1 : 0;
  const [[low, from], [high, to]] = [TYPICAL[at - 1], TYPICAL[at]];
  return from + ((to - from) * (epsilon - low)) / (high - low);
}

function checkedRank({ weight, outputs, inputs }: Linear, rank: number): number {
  const most = Math.min(outputs, inputs);
  if (Number.isSafeInteger(rank) && rank >= 1 && rank <= most) return rank;
  throw new ConfigError({
    where: `rank of ${weight}`,
    expected: `a whole number from 1 to ${String(most)}, the smaller side of [${String(outputs)}, ${String(inputs)}]`,
    got: String(rank),
    todo: 'Take the ranks that were found for this model',
  });
}

/** Throws ConfigError unless each rank is one that the linear of its name can have. */
export function checkWeightRanks(all: readonly Linear[], ranks: Ranks['weights']): void {
  checkNames(ranks, all);
  const chosen = all.filter(({ weight }) => Object.hasOwn(ranks, weight));
  for (const linear of chosen) checkedRank(linear, ranks[linear.weight]);
}

function checkNames(ranks: Ranks['weights'], chosen: readonly Linear[]): void {
  const found = new Set(chosen.map(({ weight }) => weight));
  const missing = Object.keys(ranks).find((weight) => !found.has(weight));
  if (missing === undefined) return;
  throw new ConfigError({
    where: `rank of ${missing}`,
    expected: 'the weight of a linear in a block of this model',
    got: 'no such linear',
    todo: 'Take the ranks that were found for this model',
  });
}

/** Two methods that both change the form of one weight. */
export function notDense(weight: string, form: string): ConfigError {
  return new ConfigError({
    where: `weight ${weight}`,
    expected: 'a dense weight',
    got: form === 'adapter' ? 'one with an adapter' : `a ${form} one`,
    todo: 'Compose at most one method that changes the form of weights',
  });
}
