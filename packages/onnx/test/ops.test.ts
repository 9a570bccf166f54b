/** Every op that has a lowering, on its own samples, against its float64 reference. */
import { GraphBuilder, GraphError, OPS, type Op, type OpName } from '@thimble/core';
import { describe, expect, it } from 'vitest';
import { agree, dataOf, runReference, typesOf } from '../../core/test/ops-evaluate.js';
import type { OpenGraph } from '../src/batch.js';
import type { OnnxGraph } from '../src/graph.js';
import { lowerNodes } from '../src/lower.js';
import { LOWERINGS } from '../src/lowerings/index.js';
import { runOnnx } from './models.js';

const LOWERED = Object.values<Op>(OPS).filter(
  ({ name }) => LOWERINGS[name as OpName] !== 'training',
);

/** Sums over rows: gradients of weights, which no forward pass has. */
const isGradient = (params: Op['samples'][number]['params']) =>
  params.transA === true && params.batched === false;

const CASES = LOWERED.flatMap((op) =>
  op.samples.map((sample) => ({ title: `${op.name}: ${sample.title}`, op, sample })),
);

/** The op's node alone, its inputs the graph's. */
function graphOf(op: Op, sample: Op['samples'][number]): OnnxGraph {
  const builder = new GraphBuilder();
  const inputs = Object.entries(typesOf(sample)).map(
    ([name, type]) => [name, builder.input(name, type)] as const,
  );
  const { y } = builder.emit(op, Object.fromEntries(inputs), sample.params, 'node');
  const graph = builder.build({ y });
  const open: OpenGraph = {
    graph,
    extents: (id) => graph.values[id].type.shape.map((count) => ({ count, perImage: false })),
  };
  const none = () => {
    throw new Error('no weights here');
  };
  const lowered = lowerNodes(open, new Map(inputs.map(([name, { id }]) => [id, name])), none);
  const info = (name: string, shape: readonly number[]) =>
    ({ name, type: 'float32', shape }) as const;
  return {
    inputs: inputs.map(([name, { type }]) => info(name, type.shape)),
    outputs: [info(lowered.nameOf(y.id) ?? '', y.type.shape)],
    nodes: lowered.nodes,
    initializers: lowered.initializers,
  };
}

describe('each op in ONNX computes what its reference does', () => {
  it.each(CASES)('$title', async ({ op, sample }) => {
    if (op.name === 'matmul' && isGradient(sample.params)) {
      expect(() => graphOf(op, sample)).toThrow(GraphError);
      return;
    }
    const data = dataOf(op, sample);
    const types = typesOf(sample);
    const expected = runReference(op, data, types, sample.params).y;
    const feeds = Object.entries(types).map(([name, { shape }]) => {
      return [name, { data: Float32Array.from(data[name]), shape }] as const;
    });
    const { data: actual, shape } = await runOnnx(graphOf(op, sample), Object.fromEntries(feeds));
    expect(shape).toEqual(op.infer(types, sample.params, op.name).y.shape);
    // float32 against float64, over as many as 600 products
    expect(agree(Float64Array.from(actual), expected, 1e-5, 1e-5)).toBe(true);
  });

  it('has a case for every lowering', () => {
    expect(LOWERED.filter(({ samples }) => samples.length === 0)).toEqual([]);
    expect(LOWERED.length).toBeGreaterThan(14);
  });
});
