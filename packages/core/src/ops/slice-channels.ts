/** Some channels of a tensor: the gradient of concat_channels. */
import { f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectInteger, lastOf, rowsOf } from './shapes.js';

export type SliceChannelsParams = {
  /** The first channel. */
  readonly start: number;
  readonly count: number;
};

/** y[r,c] = x[r, start + c]; x [..., C], y [..., count]. */
export const sliceChannels: Op<SliceChannelsParams, 'x', never, 'y', never> = {
  name: 'slice_channels',
  summary: 'y[r,c] = x[r, start + c]',
  inputs: ['x'],
  outputs: ['y'],
  params: { start: 'whole', count: 'whole' },
  infer: ({ x }, { start, count }, at) => {
    expectForm(at, 'x', x, 'f32[...,C]');
    expectInteger(at, 'start', start, 0);
    expectInteger(at, 'count', count, 1);
    const end = start + count;
    expectShape(end <= lastOf(x.shape), at, `x of ${String(end)} channels or more`, x);
    return { y: f32(...x.shape.slice(0, -1), count) };
  },
  flops: () => 0,
  recompute: 'cheap',
  rowwise: () => ['x'],
  reference: ({ x }, { y }, types, { start, count }) => {
    const cols = lastOf(types.x.shape);
    for (let r = 0; r < rowsOf(types.x.shape); r++) {
      for (let c = 0; c < count; c++) y[r * count + c] = x[r * cols + start + c];
    }
  },
  scalars: { rows: 'int', cols: 'int', start: 'int', count: 'int' },
  encode: ({ x }, { start, count }) => ({
    ...{ rows: rowsOf(x.shape), cols: lastOf(x.shape) },
    ...{ start, count },
  }),
  samples: [
    { title: 'the first', params: { start: 0, count: 3 }, inputs: { x: { type: f32(2, 3, 5) } } },
    {
      title: 'the last',
      params: { start: 33, count: 67 },
      inputs: { x: { type: f32(2, 9, 100) } },
    },
    { title: 'all', params: { start: 0, count: 17 }, inputs: { x: { type: f32(17) } } },
  ],
};
