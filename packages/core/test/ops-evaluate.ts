/** What the op tests share: contents of samples, graphs evaluated by references, gradient graphs. */
import type { Graph, Params, Value, ValueId } from '../src/ir/graph.js';
import { elements, sameType, type TensorType } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { opNamed, OPS, type AnyOp } from '../src/ops/index.js';
import { dataFor, type Data, type Sample, type SampleTensor } from '../src/ops/op.js';
import { Random } from '../src/random.js';

export type DataOf = Readonly<Record<string, Data>>;
export type TypeOf = Readonly<Record<string, TensorType>>;

export const ALL_OPS: readonly AnyOp[] = Object.values<AnyOp>(OPS);

/** Every op with each of its samples. */
export const CASES = ALL_OPS.flatMap((op) =>
  op.samples.map((sample) => ({ title: `${op.name}: ${sample.title}`, op, sample })),
);

/** The same contents for an op's sample in every test. */
export function dataOf(op: AnyOp, sample: Sample<Params>): Record<string, Data> {
  const random = Random.of(1, op.name, sample.title);
  return mapRecord(sample.inputs, (tensor) => contents(tensor, random));
}

export function typesOf(sample: Sample<Params>): Record<string, TensorType> {
  return mapRecord(sample.inputs, ({ type }) => type);
}

/** Contents of one sample input: its exact values, or draws from its range. */
export function contents(tensor: SampleTensor, random: Random): Data {
  const { type, low = -1, high = 1, values } = tensor;
  const data = blank(type);
  if (values) {
    data.set(values);
    return data;
  }
  for (let i = 0; i < data.length; i++) {
    const x = low + (high - low) * random.uniform();
    data[i] = type.dtype === 'f32' ? x : Math.floor(x);
  }
  return data;
}

/** Storage whose every real is NaN, so that an element nobody writes is noticed. */
export function blank(type: TensorType): Data {
  const data = dataFor(type);
  return type.dtype === 'f32' ? data.fill(NaN) : data;
}

export function mapRecord<A, B>(
  record: Readonly<Record<string, A>>,
  f: (item: A, key: string) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, item]) => [key, f(item, key)]));
}

/** Runs one op's reference into new storage. */
export function runReference(
  op: AnyOp,
  inputs: DataOf,
  types: TypeOf,
  params: Params,
): Record<string, Data> {
  const outputTypes: TypeOf = op.infer(types, params, op.name);
  const outputs = mapRecord(outputTypes, blank);
  op.reference(inputs, outputs, { ...types, ...outputTypes }, params);
  return outputs;
}

/** Contents of every value, given those of the leaves that are no constants. */
export function evaluate(
  graph: Graph,
  leaves: ReadonlyMap<ValueId, Data>,
): ReadonlyMap<ValueId, Data> {
  const known = new Map(leaves);
  for (const value of graph.values) {
    if (value.source.kind === 'table') {
      const table = dataFor(value.type);
      table.set(value.source.data);
      known.set(value.id, table);
    }
    if (value.source.kind !== 'constant') continue;
    known.set(value.id, new Float64Array(elements(value.type.shape)).fill(value.source.fill));
  }
  const data = (id: ValueId): Data => {
    const found = known.get(id);
    if (!found) throw new Error(`evaluate: ${graph.values[id].name} has no contents`);
    return found;
  };
  for (const node of graph.nodes) {
    const types = mapRecord(node.inputs, (id) => graph.values[id].type);
    const results = runReference(
      opNamed(node.op),
      mapRecord(node.inputs, data),
      types,
      node.params,
    );
    for (const [key, id] of Object.entries(node.outputs)) known.set(id, results[key]);
  }
  return known;
}

/** True when every element agrees within rtol·|expected| + atol; NaN never agrees. */
export function agree(actual: Data, expected: Data, rtol: number, atol: number): boolean {
  if (actual.length !== expected.length) return false;
  for (let i = 0; i < actual.length; i++) {
    if (!(Math.abs(actual[i] - expected[i]) <= rtol * Math.abs(expected[i]) + atol)) return false;
  }
  return true;
}

/** Outputs that are only saved for the backward pass. */
export const SAVED: Readonly<Record<string, readonly string[] | undefined>> = {
  attention: ['lse'],
  layernorm: ['mean', 'rstd'],
  matmul: ['pre'],
  max_pool: ['place'],
};

/** Inputs whose part in the gradient is in that of what they are computed from. */
export const WITHOUT_GRADIENT: Readonly<Record<string, readonly string[] | undefined>> = {
  batch_norm: ['mean', 'variance'],
};

/** The inputs, with those that the params say are computed from others computed from them. */
export function consistent(op: AnyOp, inputs: DataOf, types: TypeOf, params: Params): DataOf {
  if (op.name !== OPS.batch_norm.name || params.batch !== true) return inputs;
  const statistics = runReference(OPS.batch_norm_statistics, { x: inputs.x }, { x: types.x }, {});
  return { ...inputs, ...statistics };
}

/** A graph of one node and its gradient, with the loss Σ dOutput · output. */
export function gradientGraph(
  op: AnyOp,
  types: TypeOf,
  params: Params,
  needed: (input: string) => boolean,
) {
  const builder = new GraphBuilder();
  const inputs = mapRecord(types, (type, key) => builder.input(key, type));
  const outputs: Readonly<Record<string, Value>> = builder.emit(op, inputs, params);
  const saved = SAVED[op.name] ?? [];
  const outputGrads: Record<string, Value> = {};
  for (const [key, value] of Object.entries(outputs)) {
    if (!saved.includes(key)) outputGrads[key] = builder.input(`d_${key}`, value.type);
  }
  const context = { emitter: builder, params, inputs, outputs, outputGrads, needs: needed };
  const gradients: Readonly<Record<string, Value | undefined>> = op.grad?.(context) ?? {};
  const graph = builder.build({});
  verify(graph, OPS);
  return { graph, inputs, outputs, outputGrads, gradients };
}

export type GradientGraph = ReturnType<typeof gradientGraph>;

/** Contents of the gradients by input. */
export function gradientsOf(
  built: GradientGraph,
  data: DataOf,
  weights: DataOf,
): Record<string, Data> {
  const leaves = new Map<ValueId, Data>();
  for (const [key, value] of Object.entries(built.inputs)) leaves.set(value.id, data[key]);
  for (const [key, value] of Object.entries(built.outputGrads)) leaves.set(value.id, weights[key]);
  const results = evaluate(built.graph, leaves);
  const found: Record<string, Data> = {};
  for (const [key, value] of Object.entries(built.gradients)) {
    const gradient = value && results.get(value.id);
    if (!gradient || !sameType(value.type, built.inputs[key].type)) {
      throw new Error(`gradient of ${key} has type ${JSON.stringify(value?.type)}`);
    }
    found[key] = gradient;
  }
  return found;
}
