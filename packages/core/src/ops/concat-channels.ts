/** Two tensors side by side along their last axis: branches of a network that meet. */
import { f32, sameShape } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, lastOf, rowsOf, type NoParams } from './shapes.js';
import { sliceChannels } from './slice-channels.js';

/** y[r] = [a[r] ; b[r]]; a [..., A], b [..., B], y [..., A+B]. */
export const concatChannels: Op<NoParams, 'a' | 'b', never, 'y', never> = {
  name: 'concat_channels',
  summary: 'y[r] = [a[r] ; b[r]] along the last axis',
  inputs: ['a', 'b'],
  outputs: ['y'],
  params: {},
  infer: ({ a, b }, _params, at) => {
    expectForm(at, 'a', a, 'f32[...,A]');
    expectForm(at, 'b', b, 'f32[...,B]');
    const rows = a.shape.slice(0, -1);
    const fits = sameShape(rows, b.shape.slice(0, -1));
    expectShape(fits, at, `b of shape [${[...rows, 'B'].join(',')}]`, b);
    return { y: f32(...rows, lastOf(a.shape) + lastOf(b.shape)) };
  },
  grad: ({ emitter, inputs: { a, b }, outputGrads: { y: dy }, needs }) => {
    if (!dy) return {};
    const first = lastOf(a.type.shape);
    const part = (start: number, count: number) =>
      emitter.emit(sliceChannels, { x: dy }, { start, count }).y;
    return {
      ...(needs('a') && { a: part(0, first) }),
      ...(needs('b') && { b: part(first, lastOf(b.type.shape)) }),
    };
  },
  flops: () => 0,
  recompute: 'cheap',
  rowwise: () => ['a', 'b'],
  reference: ({ a, b }, { y }, types) => {
    const [first, second] = [lastOf(types.a.shape), lastOf(types.b.shape)];
    for (let r = 0; r < rowsOf(types.a.shape); r++) {
      const to = r * (first + second);
      for (let c = 0; c < first; c++) y[to + c] = a[r * first + c];
      for (let c = 0; c < second; c++) y[to + first + c] = b[r * second + c];
    }
  },
  scalars: { rows: 'int', colsA: 'int', colsB: 'int' },
  encode: ({ a, b }) => ({
    rows: rowsOf(a.shape),
    colsA: lastOf(a.shape),
    colsB: lastOf(b.shape),
  }),
  samples: [
    {
      title: 'small',
      params: {},
      inputs: { a: { type: f32(2, 3, 5) }, b: { type: f32(2, 3, 4) } },
    },
    {
      title: 'images',
      params: {},
      inputs: { a: { type: f32(2, 3, 4, 33) }, b: { type: f32(2, 3, 4, 67) } },
    },
    { title: 'one row', params: {}, inputs: { a: { type: f32(1) }, b: { type: f32(1) } } },
  ],
};
