/** Consecutive tokens of every image: the class token for the head, the patches after it. */
import { f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { padTokens } from './pad-tokens.js';
import { expectForm, expectInteger } from './shapes.js';

export type SliceTokensParams = {
  readonly start: number;
  readonly count: number;
};

/** y[b,n,d] = x[b,start+n,d]; x [B, N, D], y [B, count, D]. */
export const sliceTokens: Op<SliceTokensParams, 'x', never, 'y', never> = {
  name: 'slice_tokens',
  summary: 'y[b,n,d] = x[b,start+n,d]',
  inputs: ['x'],
  outputs: ['y'],
  params: { start: 'whole', count: 'whole' },
  infer: ({ x }, { start, count }, at) => {
    expectForm(at, 'x', x, 'f32[B,N,D]');
    expectInteger(at, 'start', start, 0);
    expectInteger(at, 'count', count, 1);
    const [batch, tokens, dim] = x.shape;
    expectShape(start + count <= tokens, at, `x with ${String(start + count)} or more tokens`, x);
    return { y: f32(batch, count, dim) };
  },
  grad: ({ emitter, inputs, outputGrads, params, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    const padding = { tokens: inputs.x.type.shape[1], start: params.start };
    return { x: emitter.emit(padTokens, { x: outputGrads.y }, padding).y };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ x }, { y }, types, { start, count }) => {
    const [batch, tokens, dim] = types.x.shape;
    for (let b = 0; b < batch; b++) {
      for (let i = 0; i < count * dim; i++) {
        y[b * count * dim + i] = x[(b * tokens + start) * dim + i];
      }
    }
  },
  scalars: { batch: 'int', tokens: 'int', start: 'int', count: 'int', dim: 'int' },
  encode: ({ x }, { start, count }) => {
    const [batch, tokens, dim] = x.shape;
    return { batch, tokens, start, count, dim };
  },
  samples: [
    { title: 'class token', params: { start: 0, count: 1 }, inputs: { x: { type: f32(2, 5, 3) } } },
    { title: 'patches', params: { start: 1, count: 8 }, inputs: { x: { type: f32(3, 9, 19) } } },
    { title: 'in between', params: { start: 2, count: 3 }, inputs: { x: { type: f32(1, 7, 33) } } },
    { title: 'everything', params: { start: 0, count: 4 }, inputs: { x: { type: f32(2, 4, 1) } } },
  ],
};
