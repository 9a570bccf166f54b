/** Rows of 8-bit integers back as reals; see quantise. */
import { elements, f32, i8 } from '../ir/types.js';
import type { Op } from './op.js';
import { LEVELS } from './quantise.js';
import { expectForm, expectType, lastOf, rowsOf, type NoParams } from './shapes.js';

/** x = q · scale per row; q [..., D], scale [...]. */
export const dequantise: Op<NoParams, 'q' | 'scale', never, 'x', never> = {
  name: 'dequantise',
  summary: 'x = q · scale per row',
  inputs: ['q', 'scale'],
  outputs: ['x'],
  params: {},
  infer: ({ q, scale }, _params, at) => {
    expectForm(at, 'q', q, 'i8[...,D]');
    expectType(at, 'scale', scale, f32(...q.shape.slice(0, -1)));
    return { x: f32(...q.shape) };
  },
  flops: ({ q }) => elements(q.shape),
  recompute: 'cheap',
  reference: ({ q, scale }, { x }, types) => {
    const cols = lastOf(types.q.shape);
    for (let i = 0; i < x.length; i++) x[i] = q[i] * scale[Math.floor(i / cols)];
  },
  scalars: { rows: 'int', cols: 'int' },
  encode: ({ q }) => ({ rows: rowsOf(q.shape), cols: lastOf(q.shape) }),
  samples: [
    sample('small', [3, 5]),
    sample('odd', [2, 3, 67]),
    sample('many rows', [37, 33]),
    sample('one row', [19]),
    sample('one column', [21, 1]),
  ],
};

function sample(title: string, shape: readonly number[]) {
  return {
    title,
    params: {},
    inputs: {
      q: { type: i8(...shape), low: -LEVELS, high: LEVELS + 1 },
      scale: { type: f32(...shape.slice(0, -1)), low: 0, high: 2 },
    },
  };
}
