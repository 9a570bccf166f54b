/** Places tokens into a longer row of zeros: the gradient of slice_tokens. */
import { f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectInteger } from './shapes.js';

export type PadTokensParams = {
  /** Tokens of the result. */
  readonly tokens: number;
  /** Where the first token of x goes. */
  readonly start: number;
};

/** y[b,start+n,d] = x[b,n,d], zero elsewhere; x [B, count, D], y [B, tokens, D]. */
export const padTokens: Op<PadTokensParams, 'x', never, 'y', never> = {
  name: 'pad_tokens',
  summary: 'y[b,start+n,d] = x[b,n,d], zero elsewhere',
  inputs: ['x'],
  outputs: ['y'],
  params: { tokens: 'whole', start: 'whole' },
  infer: ({ x }, { tokens, start }, at) => {
    expectForm(at, 'x', x, 'f32[B,N,D]');
    expectInteger(at, 'tokens', tokens, 1);
    expectInteger(at, 'start', start, 0);
    const [batch, count, dim] = x.shape;
    expectShape(
      start + count <= tokens,
      at,
      `x to fit into ${String(tokens)} tokens from token ${String(start)}`,
      x,
    );
    return { y: f32(batch, tokens, dim) };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ x }, { y }, types, { tokens, start }) => {
    const [batch, count, dim] = types.x.shape;
    y.fill(0);
    for (let b = 0; b < batch; b++) {
      for (let i = 0; i < count * dim; i++) {
        y[(b * tokens + start) * dim + i] = x[b * count * dim + i];
      }
    }
  },
  scalars: { batch: 'int', tokens: 'int', start: 'int', count: 'int', dim: 'int' },
  encode: ({ x }, { tokens, start }) => {
    const [batch, count, dim] = x.shape;
    return { batch, tokens, start, count, dim };
  },
  samples: [
    {
      title: 'class token',
      params: { tokens: 5, start: 0 },
      inputs: { x: { type: f32(2, 1, 3) } },
    },
    {
      title: 'at the end',
      params: { tokens: 9, start: 4 },
      inputs: { x: { type: f32(3, 5, 19) } },
    },
    {
      title: 'in between',
      params: { tokens: 7, start: 2 },
      inputs: { x: { type: f32(1, 3, 33) } },
    },
    {
      title: 'nothing to pad',
      params: { tokens: 3, start: 0 },
      inputs: { x: { type: f32(2, 3, 4) } },
    },
  ],
};
