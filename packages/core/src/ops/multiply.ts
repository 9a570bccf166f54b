/** Elementwise product, or rows times one number each: squares of a tensor, rows masked by 0 and 1. */
import { elements, f32, sameShape } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, type NoParams } from './shapes.js';

/** y = a ∘ b with b of a's shape, or y[r,c] = a[r,c] · b[r] with b of a's shape less the last axis. */
export const multiply: Op<NoParams, 'a' | 'b', never, 'y', never> = {
  name: 'multiply',
  summary: 'y[r,c] = a[r,c] · b[r,c], or a[r,c] · b[r]',
  inputs: ['a', 'b'],
  outputs: ['y'],
  params: {},
  infer: ({ a, b }, _params, at) => {
    expectForm(at, 'a', a, 'f32[...]');
    expectForm(at, 'b', b, 'f32[...]');
    const fits = sameShape(a.shape, b.shape) || sameShape(a.shape.slice(0, -1), b.shape);
    const rows = f32(...a.shape.slice(0, -1)).shape.join(',');
    expectShape(fits, at, `b of shape [${a.shape.join(',')}] or [${rows}]`, b);
    return { y: a };
  },
  flops: ({ a }) => elements(a.shape),
  recompute: 'cheap',
  reference: ({ a, b }, { y }) => {
    const run = a.length / b.length;
    for (let i = 0; i < y.length; i++) y[i] = a[i] * b[Math.floor(i / run)];
  },
  inPlace: [
    ['y', 'a'],
    ['y', 'b'],
  ],
  scalars: { count: 'int', run: 'int' },
  encode: ({ a, b }) => ({
    count: elements(a.shape),
    run: elements(a.shape) / elements(b.shape),
  }),
  samples: [
    { title: 'same shape', params: {}, inputs: { a: { type: f32(3, 5) }, b: { type: f32(3, 5) } } },
    { title: 'rows', params: {}, inputs: { a: { type: f32(2, 3, 67) }, b: { type: f32(2, 3) } } },
    { title: 'short rows', params: {}, inputs: { a: { type: f32(41, 3) }, b: { type: f32(41) } } },
    { title: 'long', params: {}, inputs: { a: { type: f32(2053) }, b: { type: f32(2053) } } },
    { title: 'scalar', params: {}, inputs: { a: { type: f32() }, b: { type: f32() } } },
    { title: 'one row', params: {}, inputs: { a: { type: f32(1031) }, b: { type: f32() } } },
  ],
};
