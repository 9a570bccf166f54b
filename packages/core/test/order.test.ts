/** hoist and sink: appended nodes go behind their producers or before their readers. */
import { expect, it } from 'vitest';
import { f32 } from '../src/ir/types.js';
import { hoist, sink } from '../src/ir/order.js';
import { add } from '../src/ops/add.js';
import { gelu } from '../src/ops/gelu.js';
import { GraphBuilder } from '../src/ops/builder.js';

function example() {
  const builder = new GraphBuilder();
  const x = builder.input('x', f32(2, 2));
  const a = builder.emit(gelu, { x }, {}, 'a').y;
  const b = builder.emit(gelu, { x: a }, {}, 'b').y;
  const c = builder.emit(gelu, { x: b }, {}, 'c').y;
  return { builder, x, a, b, c };
}

it('hoists behind the last producer, chains and leaves included', () => {
  const { builder, x, a, c } = example();
  const first = builder.build({ c }).nodes.length;
  const p = builder.emit(gelu, { x: a }, {}, 'p').y;
  const q = builder.emit(gelu, { x: p }, {}, 'q').y;
  const r = builder.emit(gelu, { x }, {}, 'r').y;
  const names = hoist(builder.build({ c, q, r }), first).nodes.map((node) => node.name);
  expect(names).toEqual(['r', 'a', 'p', 'q', 'b', 'c']);
});

it('sinks before the first reader, chains included', () => {
  const { builder, x, a, c } = example();
  const late = builder.emit(add, { a: c, b: x }, {}, 'late').y;
  const last = builder.emit(gelu, { x: late }, {}, 'last').y;
  const graph = builder.build({ last });
  const first = graph.nodes.length;
  const p = builder.emit(gelu, { x: a }, {}, 'p').y;
  const q = builder.emit(gelu, { x: p }, {}, 'q').y;
  const all = builder.build({ last, q });
  const reader = all.nodes.findIndex((node) => node.name === 'late');
  const nodes = all.nodes.map((node, index) =>
    index === reader ? { ...node, inputs: { a: node.inputs.a, b: q.id } } : node,
  );
  const names = sink({ ...all, nodes }, first).nodes.map((node) => node.name);
  expect(names).toEqual(['a', 'b', 'c', 'p', 'q', 'late', 'last']);
});
