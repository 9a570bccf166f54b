/**
 * lora: the blocks' weights are frozen, and a low-rank adapter beside each of them trains, with the
 * classifier: y = x Wᵀ + b + (α/r) (x Aᵀ) Bᵀ.
 *
 *   <weight>.left   B [O, r], starts at zero     <weight>.right   A [r, I], starts random
 *
 * Both are ordinary parameters and train with any optimiser. A starts uniform within ±1/√I, as in the
 * authors' code: what it makes of inputs of variance 1 has a variance of 1/3 whatever I is.
 *
 * Closed form, adapters in the MLPs: BN(L((6 + 2R)D + H + 4 + 2r) − 5D − H − 4) + B(2D + 2). That is
 * what bias-only saves, with the inputs of the adapted linears, (1 + R)D, and (α/r) x Aᵀ of both; of
 * block 0 only what its adapters read, since nothing below them trains. Gradients and optimiser state
 * for r(O + I) elements of each weight.
 *
 * Reference: Hu et al., LoRA: low-rank adaptation of large language models, ICLR 2022, section 4.1.
 */
import { ConfigError } from '../errors.js';
import {
  outputValues,
  type ModelGraph,
  type Parameter,
  type Value,
  type ValueId,
} from '../ir/graph.js';
import { hoist } from '../ir/order.js';
import { mapOperands, regroup } from '../ir/rewrite.js';
import { f32 } from '../ir/types.js';
import type { WeightForm } from '../ir/weight-form.js';
import { GraphBuilder } from '../ops/builder.js';
import { matmul, TRANSPOSED_B } from '../ops/matmul.js';
import { scale } from '../ops/scale.js';
import { isTrained, linears, type Linear } from './linears.js';
import { notDense } from './low-rank.js';
import type { Method } from './method.js';
import { keyValues, layersOf } from './options.js';
import { sumWithProduct } from './product.js';
import type { Layers } from './ranks.js';
import { trainOnly } from './trainable.js';

export interface LoraConfig {
  /** r */
  readonly rank: number;
  /** The adapter is weighted by α/r. */
  readonly alpha: number;
  readonly layers: Layers;
}

const DEFAULTS = { rank: '8', layers: 'all', alpha: '16' } as const;

export const lora: Method<LoraConfig> = {
  name: 'lora',
  summary: `train low-rank adapters and the classifier (default rank ${DEFAULTS.rank}, alpha ${DEFAULTS.alpha})`,
  usage: 'lora=RANK,layers=all|mlp,alpha=ALPHA',
  keys: ['layers', 'alpha'],
  parse: (text) => {
    const given = keyValues('lora', text, 'rank', ['layers', 'alpha']);
    const { rank, layers, alpha } = { ...DEFAULTS, ...given };
    return {
      rank: positive('a rank', rank, /^\d+$/),
      layers: layersOf('lora', layers),
      alpha: positive('an alpha', alpha, /^\d*\.?\d+$/),
    };
  },
  print: ({ rank, layers, alpha }) =>
    `lora=${String(rank)},layers=${layers},alpha=${String(alpha)}`,
  forward: (model, config) => {
    const adapted = addAdapters(model, config);
    const { head } = model;
    const adapters = new Set(
      linears(adapted, 'all').flatMap(({ form }) =>
        form.kind === 'adapter' ? [form.left.name, form.right.name] : [],
      ),
    );
    return trainOnly(adapted, (name) => adapters.has(name) || name.startsWith(head));
  },
  claims: (model, { layers }) => ({
    forms: linears(model, layers)
      .filter(isTrained)
      .map(({ weight }) => weight),
  }),
  neutral: () => null,
};

/** An adapter beside every trained linear of the chosen layers. */
function addAdapters(model: ModelGraph, config: LoraConfig): ModelGraph {
  const { graph } = model;
  const builder = new GraphBuilder(graph);
  const first = graph.nodes.length;
  const behind = new Map<ValueId, readonly ValueId[]>();
  const sums = new Map<ValueId, ValueId>();
  const forms = [...(model.forms ?? [])];
  for (const linear of linears(model, config.layers).filter(isTrained)) {
    const { form, y } = linear;
    if (form.kind !== 'dense') throw notDense(linear.weight, form.kind);
    const adapter = adapterOf(builder, linear, form.node.name, config);
    behind.set(form.weight.id, [adapter.left.id, adapter.right.id]);
    forms.push(adapterForm(form.weight, adapter, config));
    sums.set(y.id, adapter.sum.id);
  }
  const extended = builder.build(outputValues(graph));
  // Whoever read y reads the sum; the sum itself, among the new nodes, still reads y.
  const nodes = extended.nodes.map((node, index) => {
    if (index >= first) return node;
    return { ...node, inputs: mapOperands(node.inputs, (id) => sums.get(id) ?? id) };
  });
  const placed = hoist({ ...extended, nodes }, first);
  return { ...model, graph: regroup(placed, behind, new Set()), forms };
}

/** W + (α/r) B A. */
function adapterForm(
  { name: weight, type: { shape } }: Parameter,
  { left, right }: Adapter,
  { rank, alpha }: LoraConfig,
): WeightForm {
  const added = [left.name, right.name];
  return {
    ...{ kind: 'adapter', weight, shape, parts: [weight, ...added], added },
    toDense: (read) =>
      sumWithProduct(read(weight), read(left.name), read(right.name), rank, alpha / rank),
  };
}

interface Adapter {
  readonly left: Value;
  readonly right: Value;
  /** y + (α/r) (x Aᵀ) Bᵀ */
  readonly sum: Value;
}

function adapterOf(
  builder: GraphBuilder,
  { weight, outputs, inputs, x, y }: Linear,
  name: string,
  { rank, alpha }: LoraConfig,
): Adapter {
  checkRank(weight, rank, Math.min(outputs, inputs));
  const left = builder.parameter(`${weight}.left`, f32(outputs, rank), {
    initial: { kind: 'zeros' },
    factor: { weight, side: 'left', form: 'adapter' },
  });
  const right = builder.parameter(`${weight}.right`, f32(rank, inputs), {
    initial: { kind: 'uniform', bound: 1 / Math.sqrt(inputs) },
    factor: { weight, side: 'right', form: 'adapter' },
  });
  return builder.scope(`${name}.adapter`, () => {
    const down = builder.emit(matmul, { a: x, b: right }, TRANSPOSED_B, 'down').y;
    const z = builder.emit(scale, { x: down }, { factor: alpha / rank }, 'scale').y;
    const up = { a: z, b: left, residual: y };
    return { left, right, sum: builder.emit(matmul, up, TRANSPOSED_B, 'up').y };
  });
}

function checkRank(weight: string, rank: number, most: number): void {
  if (rank <= most) return;
  throw new ConfigError({
    where: `method lora, weight ${weight}`,
    expected: `a rank of at most ${String(most)}, the smaller side of the weight`,
    got: String(rank),
    todo: 'Lower the rank',
  });
}

function positive(what: string, text: string, form: RegExp): number {
  const value = form.test(text) ? Number(text) : NaN;
  if (value > 0) return value;
  throw new ConfigError({
    where: 'method lora',
    expected: `${what} above 0`,
    got: `"${text}"`,
    todo: 'Write, for example, lora=8,alpha=16',
  });
}
