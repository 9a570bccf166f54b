/** Consecutive images of a batch, or their labels, or anything else with an image per row. */
import { bytesOf, f32, i32, i8 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectInteger } from './shapes.js';

export type SliceBatchParams = {
  readonly start: number;
  readonly count: number;
};

/** y[b] = x[start + b]; x [B, ...] of any dtype, y [count, ...]. */
export const sliceBatch: Op<SliceBatchParams, 'x', never, 'y', never> = {
  name: 'slice_batch',
  summary: 'y[b] = x[start + b]',
  inputs: ['x'],
  outputs: ['y'],
  params: { start: 'whole', count: 'whole' },
  infer: ({ x }, { start, count }, at) => {
    expectForm(at, 'x', x, `${x.dtype}[...,B]`);
    expectInteger(at, 'start', start, 0);
    expectInteger(at, 'count', count, 1);
    const end = start + count;
    expectShape(x.shape[0] >= end, at, `x with ${String(end)} or more rows of a batch`, x);
    return { y: { dtype: x.dtype, shape: x.shape.with(0, count) } };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ x }, { y }, types, { start }) => {
    const from = (start * x.length) / types.x.shape[0];
    y.set(x.subarray(from, from + y.length));
  },
  scalars: { start: 'int', bytes: 'int' },
  encode: ({ x, y }, { start }) => ({
    start: (start * bytesOf(x)) / x.shape[0],
    bytes: bytesOf(y),
  }),
  samples: [
    { title: 'images', params: { start: 2, count: 2 }, inputs: { x: { type: f32(6, 3, 5, 5) } } },
    {
      title: 'labels',
      params: { start: 3, count: 4 },
      inputs: { x: { type: i32(8), low: 0, high: 99 } },
    },
    {
      title: 'bytes',
      params: { start: 1, count: 1 },
      inputs: { x: { type: i8(3, 67), low: -128, high: 127 } },
    },
    { title: 'long', params: { start: 1, count: 3 }, inputs: { x: { type: f32(4, 4111) } } },
  ],
};
