/**
 * The verifier: one illegal graph for each rule, with the whole text of the error.
 */
import { describe, expect, it } from 'vitest';
import { GraphError, ShapeError } from '../src/errors.js';
import type { Graph, Node, Value } from '../src/ir/graph.js';
import { f32, i32 } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import { accumulate } from '../src/ops/accumulate.js';
import { add } from '../src/ops/add.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { gelu } from '../src/ops/gelu.js';
import { OPS } from '../src/ops/index.js';
import { reshaped } from '../src/ops/reshape.js';

const TODO = 'The pass that ran last broke the graph; print the graph before and after it.';

/** y = gelu(x), z = add(y, p), with the state p. */
function legal(): Graph {
  const builder = new GraphBuilder();
  const x = builder.input('x', f32(2, 3));
  const p = builder.state('p', f32(2, 3));
  const { y } = builder.emit(gelu, { x }, {}, 'act');
  const z = builder.emit(add, { a: y, b: p }, {}, 'sum').y;
  return builder.build({ z });
}

/** `legal` with a change to the node at `index`. */
function withNode(index: number, change: Partial<Node>): Graph {
  const graph = legal();
  return {
    ...graph,
    nodes: graph.nodes.map((node, at) => (at === index ? { ...node, ...change } : node)),
  };
}

function withValue(index: number, change: Partial<Value>): Graph {
  const graph = legal();
  return {
    ...graph,
    values: graph.values.map((value, at) => (at === index ? { ...value, ...change } : value)),
  };
}

function errorOf(graph: Graph): string {
  try {
    verify(graph, OPS);
  } catch (error) {
    if (error instanceof GraphError || error instanceof ShapeError) return error.message;
    throw error;
  }
  return 'legal';
}

describe('verify', () => {
  it('passes a legal graph', () => {
    expect(errorOf(legal())).toBe('legal');
    expect(errorOf({ values: [], nodes: [], outputs: {} })).toBe('legal');
  });

  const sum = 'sum: y f32[2,3] = add(a: act.y, b: p)';

  it.each<readonly [string, Graph, string]>([
    [
      'an op that does not exist',
      withNode(0, { op: 'relu' }),
      `act: y f32[2,3] = relu(x: x): expected an op of the registry, got op "relu". ${TODO}`,
    ],
    [
      'two nodes of one name',
      withNode(1, { name: 'act' }),
      'act: y f32[2,3] = add(a: act.y, b: p): expected a unique node name, got "act" twice. ' +
        TODO,
    ],
    [
      'an operand that is missing',
      withNode(0, { inputs: {} }),
      `act: y f32[2,3] = gelu(): expected operand "x", got none. ${TODO}`,
    ],
    [
      'an operand that the op does not have',
      withNode(0, { inputs: { x: 0, bias: 1 } }),
      'act: y f32[2,3] = gelu(x: x, bias: p): expected operands x, got operand "bias". ' + TODO,
    ],
    [
      'an output that is missing',
      withNode(0, { outputs: {} }),
      `act:  = gelu(x: x): expected operand "y", got none. ${TODO}`,
    ],
    [
      'a value that is read before it is produced',
      { ...legal(), nodes: [...legal().nodes].reverse() },
      `${sum}: expected "a" to be produced earlier, got act.y. ${TODO}`,
    ],
    [
      'an id that is no value',
      withNode(0, { inputs: { x: 9 } }),
      'act: y f32[2,3] = gelu(x: #9): expected "x" to be produced earlier, got #9. ' + TODO,
    ],
    [
      'a result of another type',
      withValue(2, { type: f32(3, 2) }),
      'act: y f32[3,2] = gelu(x: x): expected output "y" of type f32[2,3], got f32[3,2]. ' + TODO,
    ],
    [
      'an operand that the op cannot take',
      withValue(0, { type: i32(2, 3) }),
      'act: expected x of form f32[...], extents at least 1, got i32[2,3]. ' +
        'Check the shapes that flow into this node.',
    ],
    [
      'a value that is produced twice',
      withNode(1, { outputs: { y: 2 } }),
      `${sum}: expected each value produced once, got act.y. ${TODO}`,
    ],
    [
      'an output that nothing produces',
      { ...legal(), nodes: [] },
      'output z: expected a value that some node produces, got sum.y. ' +
        'Report this: a pass dropped a live node.',
    ],
    [
      'ids that are not the index',
      withValue(1, { id: 7 }),
      'value p: expected ids that index the table and unique names, got id 7 at 1. ' +
        'Build graphs through GraphBuilder.',
    ],
    [
      'two values of one name',
      withValue(1, { name: 'x' }),
      'value x: expected ids that index the table and unique names, got a second value of that name. ' +
        'Build graphs through GraphBuilder.',
    ],
  ])('refuses %s', (_title, graph, message) => {
    expect(errorOf(graph)).toBe(message);
  });

  it('refuses to read what was written over, also through a view', () => {
    const build = (viaView: boolean) => {
      const builder = new GraphBuilder();
      const p = builder.state('p', f32(2, 3));
      const x = builder.input('x', f32(2, 3));
      const view = reshaped(builder, p, [3, 2]);
      builder.emit(accumulate, { acc: p, x }, {}, 'update');
      const z = builder.emit(gelu, { x: viaView ? view : p }, {}, 'late').y;
      return builder.build({ z });
    };
    expect(errorOf(build(false))).toBe(
      'late: y f32[2,3] = gelu(x: p): expected "x" to be live, got p, written over by update. ' +
        TODO,
    );
    expect(errorOf(build(true))).toBe(
      'late: y f32[3,2] = gelu(x: reshape.y): expected "x" to be live, ' +
        `got reshape.y, written over by update. ${TODO}`,
    );
  });

  it('refuses an output that was written over', () => {
    const builder = new GraphBuilder();
    const acc = builder.state('p', f32(2));
    const { y } = builder.emit(accumulate, { acc, x: builder.input('x', f32(2)) }, {}, 'update');
    expect(errorOf(builder.build({ y }))).toBe('legal');
    expect(errorOf(builder.build({ p: acc }))).toBe(
      'output p: expected a value that is there at the end, got p, written over by update. ' +
        'Make the new value the output.',
    );
  });

  it('lets the new value of an update be read', () => {
    const builder = new GraphBuilder();
    const acc = builder.state('p', f32(2));
    const x = builder.input('x', f32(2));
    const { y } = builder.emit(accumulate, { acc, x }, {}, 'update');
    const z = builder.emit(gelu, { x: y }, {}, 'late').y;
    expect(errorOf(builder.build({ z }))).toBe('legal');
  });
});
