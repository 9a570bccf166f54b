/**
 * One linear layer y = x Wᵀ + b as a model with a loss whose gradient by y is given: what the tests
 * of Tucker compression run on.
 *
 * x = images + shift, so that x is made in the step, and the gradient of `shift` is dL/dx. The loss
 * is ⟨y, dy⟩ with dy an input, so that dL/dy is dy to the last bit. Entries: `start` where there
 * are states, and `step`, whose outputs are the gradients as `d.<parameter>`, p and q of a product,
 * and the `core` with its factors `U.<mode>`.
 */
import { differentiate } from '../src/autodiff.js';
import type { ExecutorKind, HostData } from '../src/executors/executor.js';
import { outputValues, type ModelGraph, type Value } from '../src/ir/graph.js';
import { mapLeaves } from '../src/ir/rewrite.js';
import { elements, f32, type Shape } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import type { Refresh } from '../src/methods/ranks.js';
import { compressInputs, startEntries } from '../src/methods/tucker.js';
import { add } from '../src/ops/add.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { matmul, TRANSPOSED_B } from '../src/ops/matmul.js';
import { modeProduct } from '../src/ops/mode-product.js';
import { OPS } from '../src/ops/index.js';
import { reshaped } from '../src/ops/reshape.js';
import { withSums } from '../src/optim/apply.js';
import { prune } from '../src/passes/prune.js';
import { plan } from '../src/plan/plan.js';
import type { Program } from '../src/program.js';
import { Random } from '../src/random.js';
import { runReference } from './ops-evaluate.js';

export const WEIGHT = 'blocks.0.mlp.fc1.weight';
export const LEFT = `${WEIGHT}.left`;
export const RIGHT = `${WEIGHT}.right`;

export interface Layer {
  /** Of x, batch first. */
  readonly shape: Shape;
  readonly outputs: number;
  /** Default: a dense weight. */
  readonly form?: 'low-rank' | 'adapter';
  /** K of a factored weight; default: RANK. */
  readonly rank?: number;
}

export const RANK = 2;

export function linearModel({ shape, outputs, form, rank = RANK }: Layer): ModelGraph {
  const inputs = shape[shape.length - 1];
  const builder = new GraphBuilder();
  const images = builder.input('images', f32(...shape));
  const dy = builder.input('dy', f32(...shape.slice(0, -1), outputs));
  const initial = { kind: 'zeros' } as const;
  const shift = builder.parameter('shift', f32(...shape), { initial });
  const x = builder.emit(add, { a: images, b: shift }, {}, 'x').y;
  const bias = builder.parameter('bias', f32(outputs), { initial });
  const dense = () => builder.parameter(WEIGHT, f32(outputs, inputs), { initial });
  const product = (residual: { readonly residual?: Value }): Value => {
    const right = builder.parameter(RIGHT, f32(rank, inputs), { initial });
    const left = builder.parameter(LEFT, f32(outputs, rank), { initial });
    const z = builder.emit(matmul, { a: x, b: right }, TRANSPOSED_B, 'z').y;
    return builder.emit(matmul, { a: z, b: left, bias, ...residual }, TRANSPOSED_B, 'y').y;
  };
  const y = (() => {
    switch (form) {
      case undefined:
        return builder.emit(matmul, { a: x, b: dense(), bias }, TRANSPOSED_B, 'y').y;
      case 'low-rank':
        return product({});
      case 'adapter':
        return product({
          residual: builder.emit(matmul, { a: x, b: dense() }, TRANSPOSED_B, 'base').y,
        });
    }
    return form satisfies never;
  })();
  const row = (value: Value) => reshaped(builder, value, [1, elements(value.type.shape)]);
  const dot = builder.emit(matmul, { a: row(y), b: row(dy) }, TRANSPOSED_B, 'dot').y;
  const loss = reshaped(builder, dot, []);
  const model = { graph: builder.build({ loss }), blocks: ['blocks.0.'], tail: [], head: 'head.' };
  return form ? { ...model, graph: mapLeaves(model.graph, (leaf) => factored(leaf, form)) } : model;
}

/** Marks the sides of a product, and freezes the weight beside an adapter. */
function factored(leaf: Value, form: 'low-rank' | 'adapter'): Value {
  if (leaf.source.kind !== 'parameter') return leaf;
  if (leaf.name === WEIGHT) return { ...leaf, source: { ...leaf.source, trainable: false } };
  const side = ({ [LEFT]: 'left', [RIGHT]: 'right' } as const)[leaf.name];
  if (!side) return leaf;
  return { ...leaf, source: { ...leaf.source, factor: { weight: WEIGHT, side, form } } };
}

/**
 * The layer's step with its input compressed; null: as it is.
 *
 * @param summed the gradient of a low-rank weight as that of its sides, whatever its input is
 */
export function linearProgram(
  layer: Layer,
  ranks: readonly number[] | null,
  refresh: Refresh = 'whole',
  { summed = false }: { readonly summed?: boolean } = {},
): Program {
  const model = linearModel(layer);
  const activations = ranks ? { [WEIGHT]: ranks } : {};
  const own = compressInputs(differentiate(model.graph, 'loss'), model, activations, refresh);
  const train = summed ? withSums(own) : own;
  const { values } = train.graph;
  const found: Record<string, Value> = outputValues(train.graph);
  for (const [name, gradient] of train.gradients) {
    if (gradient.kind === 'dense') found[`d.${name}`] = values[gradient.value];
    if (gradient.kind !== 'product') continue;
    Object.assign(found, { p: values[gradient.p], q: values[gradient.q] });
  }
  // The products that make the core name its factors; the last of them is the core.
  for (const { name, inputs, outputs, params } of train.graph.nodes) {
    if (!name.startsWith(`${WEIGHT}.tucker.core`)) continue;
    found[`U.${String(params.mode)}`] = values[inputs.u];
    found.core = values[outputs.y];
  }
  const graph = prune(new GraphBuilder(train.graph).build(found));
  const starts = refresh === 'decompose' ? [] : startEntries(model, activations);
  verify(graph, OPS);
  for (const start of starts) verify(start.graph, OPS);
  const before = starts.map(({ name, graph: start }) => ({ name, graph: prune(start) }));
  return plan([...before, { name: 'step', graph }]);
}

export interface Batch {
  readonly x: HostData;
  readonly dy: HostData;
}

/** Every output of one step on each batch; `start` runs on the first unless it is told not to. */
export async function linearSteps(
  kind: ExecutorKind,
  program: Program,
  batches: readonly Batch[],
  options: {
    readonly threads?: number;
    readonly states?: Tensors;
    readonly weights?: Tensors;
  } = {},
): Promise<readonly Tensors[]> {
  const { threads = 2, states, weights = {} } = options;
  const executor = await kind.load(program, { threads });
  const held = program.slots.filter(({ entry }) => entry === null);
  for (const { name, type, role } of held) {
    const given = weights[name] ?? (role === 'parameter' ? randomTensor(type.shape, name) : null);
    if (name === 'shift') executor.write(name, new Float32Array(elements(type.shape)));
    else if (given) executor.write(name, given);
  }
  for (const [name, data] of Object.entries(states ?? {})) executor.write(name, data);
  const results: Tensors[] = [];
  for (const [index, { x, dy }] of batches.entries()) {
    if (index === 0 && !states && program.entries.length > 1) {
      executor.write('start.images', x);
      await executor.run('start');
    }
    executor.write('step.images', x);
    executor.write('step.dy', dy);
    await executor.run('step');
    const tensors: Record<string, HostData> = {};
    const { outputs } = program.entries[program.entries.length - 1];
    for (const name of Object.keys(outputs)) tensors[name] = await executor.read(`step.${name}`);
    results.push(tensors);
  }
  await executor.dispose();
  return results;
}

export type Tensors = Readonly<Record<string, HostData>>;

/** U_m of a step; undefined for a mode of full rank. */
export function factorOf(tensors: Tensors, axis: number): HostData | undefined {
  const factors: Readonly<Partial<Tensors>> = tensors;
  return factors[`U.${String(axis)}`];
}

/** x̂ = S ×_m U_mᵀ over the modes that have a factor, in float64. */
export function restored(shape: Shape, tensors: Tensors): Float64Array {
  const ranks = shape.map(
    (extent, axis) => (factorOf(tensors, axis)?.length ?? extent ** 2) / extent,
  );
  let type = f32(...ranks);
  let data = Float64Array.from(tensors.core);
  shape.forEach((extent, axis) => {
    const u = factorOf(tensors, axis);
    if (!u) return;
    const types = { x: type, u: f32(ranks[axis], extent) };
    const params = { mode: axis, transposed: true };
    const { y } = runReference(modeProduct, { x: data, u: Float64Array.from(u) }, types, params);
    data = Float64Array.from(y);
    type = f32(...type.shape.with(axis, extent));
  });
  return data;
}

/** dyᵀ x, [O, I] */
export function weightGradient(dy: HostData, x: HostData, outputs: number, inputs: number) {
  const result = new Float64Array(outputs * inputs);
  for (let row = 0; row < x.length / inputs; row++) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        result[o * inputs + i] += dy[row * outputs + o] * x[row * inputs + i];
      }
    }
  }
  return result;
}

/** Normal elements that float32 holds exactly. */
export function randomTensor(shape: Shape, name: string): Float64Array {
  const data = Random.of(11, name).fillNormal(new Float32Array(elements(shape)));
  return Float64Array.from(data);
}

/** Batches of random x and dy for a layer. */
export function randomBatches({ shape, outputs }: Layer, count: number): readonly Batch[] {
  return Array.from({ length: count }, (_, index) => ({
    x: randomTensor(shape, `x ${String(index)}`),
    dy: randomTensor([...shape.slice(0, -1), outputs], `dy ${String(index)}`),
  }));
}

export function norm(x: HostData): number {
  let sum = 0;
  for (const value of x) sum += value * value;
  return Math.sqrt(sum);
}

export function difference(a: HostData, b: HostData): Float64Array {
  return Float64Array.from(a, (value, index) => value - b[index]);
}
