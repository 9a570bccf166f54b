/**
 * Tokens of a followed by tokens of b; a may be one row of tokens shared by all images (class
 * token).
 */
import { f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { reshaped } from './reshape.js';
import { expectForm, type NoParams } from './shapes.js';
import { sliceTokens } from './slice-tokens.js';
import { summed } from './sum-rows.js';

/** y[b] = [a[b] ; b[b]] along the tokens; a [B or 1, Na, D], b [B, Nb, D], y [B, Na+Nb, D]. */
export const concatTokens: Op<NoParams, 'a' | 'b', never, 'y', never> = {
  name: 'concat_tokens',
  summary: 'y[b] = [a[b] ; b[b]] along the tokens',
  inputs: ['a', 'b'],
  outputs: ['y'],
  params: {},
  infer: ({ a, b }, _params, at) => {
    expectForm(at, 'a', a, 'f32[B,Na,D]');
    expectForm(at, 'b', b, 'f32[B,Nb,D]');
    const [batch, tokens, dim] = b.shape;
    expectShape(
      (a.shape[0] === batch || a.shape[0] === 1) && a.shape[2] === dim,
      at,
      `a of batch ${String(batch)} or 1 and width ${String(dim)}, as b`,
      a,
    );
    return { y: f32(batch, a.shape[1] + tokens, dim) };
  },
  grad: ({ emitter, inputs, outputGrads, needs }) => {
    const dy = outputGrads.y;
    if (!dy) return {};
    const { a, b } = inputs;
    const tokensA = a.type.shape[1];
    const part = (start: number, count: number) =>
      emitter.emit(sliceTokens, { x: dy }, { start, count }).y;
    const gradA = () => {
      const da = part(0, tokensA);
      if (a.type.shape[0] === b.type.shape[0]) return da;
      return reshaped(emitter, summed(emitter, da, 1), a.type.shape);
    };
    return {
      ...(needs('a') && { a: gradA() }),
      ...(needs('b') && { b: part(tokensA, b.type.shape[1]) }),
    };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ a, b }, { y }, types) => {
    const [batch, tokensB, dim] = types.b.shape;
    const [batchA, tokensA] = types.a.shape;
    const tokens = tokensA + tokensB;
    for (let image = 0; image < batch; image++) {
      const from = batchA === 1 ? 0 : image;
      for (let i = 0; i < tokensA * dim; i++) {
        y[image * tokens * dim + i] = a[from * tokensA * dim + i];
      }
      for (let i = 0; i < tokensB * dim; i++) {
        y[(image * tokens + tokensA) * dim + i] = b[image * tokensB * dim + i];
      }
    }
  },
  scalars: { batch: 'int', tokensA: 'int', tokensB: 'int', dim: 'int', sharedA: 'int' },
  encode: ({ a, b }) => {
    const [batch, tokensB, dim] = b.shape;
    const [batchA, tokensA] = a.shape;
    return { batch, tokensA, tokensB, dim, sharedA: Number(batchA === 1) };
  },
  samples: [
    {
      title: 'class token',
      params: {},
      inputs: { a: { type: f32(1, 1, 19) }, b: { type: f32(3, 4, 19) } },
    },
    {
      title: 'own tokens',
      params: {},
      inputs: { a: { type: f32(2, 3, 5) }, b: { type: f32(2, 1, 5) } },
    },
    {
      title: 'one image',
      params: {},
      inputs: { a: { type: f32(1, 2, 33) }, b: { type: f32(1, 2, 33) } },
    },
  ],
};
