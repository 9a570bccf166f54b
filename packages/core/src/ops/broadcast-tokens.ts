/** Repeats one row per image over all tokens: the gradient of mean_tokens and of sum_rows. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm, expectInteger } from './shapes.js';

export type BroadcastTokensParams = {
  readonly tokens: number;
  readonly scale: number;
};

/** y[b,n,d] = scale · x[b,d]; x [B, D], y [B, N, D]. */
export const broadcastTokens: Op<BroadcastTokensParams, 'x', never, 'y', never> = {
  name: 'broadcast_tokens',
  summary: 'y[b,n,d] = scale · x[b,d]',
  inputs: ['x'],
  outputs: ['y'],
  params: { tokens: 'whole', scale: 'number' },
  infer: ({ x }, { tokens }, at) => {
    expectForm(at, 'x', x, 'f32[B,D]');
    expectInteger(at, 'tokens', tokens, 1);
    const [batch, dim] = x.shape;
    return { y: f32(batch, tokens, dim) };
  },
  flops: ({ y }) => elements(y.shape),
  recompute: 'cheap',
  reference: ({ x }, { y }, types, { tokens, scale }) => {
    const [batch, dim] = types.x.shape;
    for (let b = 0; b < batch; b++) {
      for (let n = 0; n < tokens; n++) {
        for (let d = 0; d < dim; d++) y[(b * tokens + n) * dim + d] = scale * x[b * dim + d];
      }
    }
  },
  scalars: { batch: 'int', tokens: 'int', dim: 'int', scale: 'float' },
  encode: ({ x }, { tokens, scale }) => {
    const [batch, dim] = x.shape;
    return { batch, tokens, dim, scale };
  },
  samples: [
    { title: 'small', params: { tokens: 3, scale: 0.25 }, inputs: { x: { type: f32(2, 5) } } },
    { title: 'one token', params: { tokens: 1, scale: 1 }, inputs: { x: { type: f32(1, 1) } } },
    { title: 'odd', params: { tokens: 17, scale: -2 }, inputs: { x: { type: f32(3, 67) } } },
  ],
};
