/** Mean over the tokens of an image: the pooling of models without a class token. */
import { elements, f32 } from '../ir/types.js';
import { broadcastTokens } from './broadcast-tokens.js';
import type { Op } from './op.js';
import { expectForm, type NoParams } from './shapes.js';

/** y[b,d] = 1/N Σₙ x[b,n,d]; x [B, N, D], y [B, D]. */
export const meanTokens: Op<NoParams, 'x', never, 'y', never> = {
  name: 'mean_tokens',
  summary: 'y[b,d] = 1/N Σₙ x[b,n,d]',
  inputs: ['x'],
  outputs: ['y'],
  params: {},
  infer: ({ x }, _params, at) => {
    expectForm(at, 'x', x, 'f32[B,N,D]');
    const [batch, , dim] = x.shape;
    return { y: f32(batch, dim) };
  },
  grad: ({ emitter, inputs, outputGrads, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    const tokens = inputs.x.type.shape[1];
    const params = { tokens, scale: 1 / tokens };
    return { x: emitter.emit(broadcastTokens, { x: outputGrads.y }, params).y };
  },
  flops: ({ x }) => elements(x.shape),
  recompute: 'costly',
  reference: ({ x }, { y }, types) => {
    const [batch, tokens, dim] = types.x.shape;
    for (let b = 0; b < batch; b++) {
      for (let d = 0; d < dim; d++) {
        let sum = 0;
        for (let n = 0; n < tokens; n++) sum += x[(b * tokens + n) * dim + d];
        y[b * dim + d] = sum / tokens;
      }
    }
  },
  scalars: { batch: 'int', tokens: 'int', dim: 'int' },
  encode: ({ x }) => {
    const [batch, tokens, dim] = x.shape;
    return { batch, tokens, dim };
  },
  samples: [
    { title: 'small', params: {}, inputs: { x: { type: f32(2, 3, 5) } } },
    { title: 'one token', params: {}, inputs: { x: { type: f32(3, 1, 4) } } },
    { title: 'odd', params: {}, inputs: { x: { type: f32(3, 17, 67) } } },
    { title: 'one of everything', params: {}, inputs: { x: { type: f32(1, 1, 1) } } },
  ],
};
