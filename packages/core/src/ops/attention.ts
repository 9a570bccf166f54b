/**
 * Multi-head self-attention from packed queries, keys and values. The N×N weights are never stored:
 * the log-sum-exp of every row of scores is saved and the gradient recomputes the weights.
 *
 * Layout of qkv as in timm: [B, N, 3, heads, headDim] folded to [B, N, 3D], D = heads · headDim. A bias
 * [heads, N, N] is added to the scores of every image; with `shift`, the images are windows and tokens
 * that a shift has brought together do not see each other (attention-sizes.ts).
 *
 * Reference: Vaswani et al., "Attention Is All You Need", 2017 (arXiv:1706.03762), equation 1.
 */
import { f32 } from '../ir/types.js';
import { attentionGrad } from './attention-grad.js';
import {
  ATTENTION_PARAMS,
  ATTENTION_SCALARS,
  attentionSizes,
  attentionTypes,
  scoreOf,
  type AttentionParams,
  type AttentionSizes,
} from './attention-sizes.js';
import { logSumExp } from './log-sum-exp.js';
import type { Op } from './op.js';
import { refuseGradients, roundUp } from './shapes.js';

/** y = softmax(q kᵀ/√headDim + bias) v per head; y [B, N, D], lse [B, heads, N]. */
export const attention: Op<AttentionParams, 'qkv', 'bias', 'y' | 'lse', never> = {
  name: 'attention',
  summary: 'y = softmax(q kᵀ/√headDim + bias) v per head; lse = log Σ exp of each row of scores',
  inputs: ['qkv', 'bias?'],
  outputs: ['y', 'lse'],
  params: ATTENTION_PARAMS,
  infer: attentionTypes,
  grad: ({ emitter, inputs, outputs, outputGrads, params, needs }) => {
    refuseGradients('attention', outputGrads, ['lse']);
    const { qkv, bias } = inputs;
    const wanted = bias !== undefined && needs('bias');
    if (!outputGrads.y || !(needs('qkv') || wanted)) return {};
    const operands = { qkv, lse: outputs.lse, dy: outputGrads.y };
    const { dqkv, dbias } = emitter.emit(
      attentionGrad,
      { ...operands, ...(bias && { bias }) },
      { ...params, ...(wanted && { biasGradient: true }) },
    );
    return { ...(needs('qkv') && { qkv: dqkv }), ...(wanted && dbias && { bias: dbias }) };
  },
  flops: ({ qkv, bias }, params) => {
    const { batch, tokens, heads, headDim } = attentionSizes(qkv, params);
    return batch * heads * tokens * tokens * (4 * headDim + 10 + (bias ? 1 : 0));
  },
  recompute: 'costly',
  keepExact: ['lse'],
  reference: (inputs, { y, lse }, types, params) => {
    const sizes = attentionSizes(types.qkv, params);
    const { batch, tokens, heads, headDim } = sizes;
    const width = heads * headDim;
    const scores = new Float64Array(tokens);
    for (let b = 0; b < batch; b++) {
      for (let h = 0; h < heads; h++) {
        const values = b * tokens * 3 * width + 2 * width + h * headDim;
        for (let i = 0; i < tokens; i++) {
          for (let j = 0; j < tokens; j++) scores[j] = scoreOf(inputs, sizes, [b, h, i, j]);
          const normaliser = logSumExp(scores);
          lse[(b * heads + h) * tokens + i] = normaliser;
          for (let d = 0; d < headDim; d++) {
            let sum = 0;
            for (let j = 0; j < tokens; j++) {
              sum += Math.exp(scores[j] - normaliser) * inputs.qkv[values + j * 3 * width + d];
            }
            y[(b * tokens + i) * width + h * headDim + d] = sum;
          }
        }
      }
    }
  },
  scalars: ATTENTION_SCALARS,
  encode: ({ qkv }, params) => ({ ...attentionSizes(qkv, params) }),
  scratch: ({ qkv }, params) => attentionScratch(attentionSizes(qkv, params)),
  samples: [
    { title: 'small', params: { heads: 2 }, inputs: { qkv: { type: f32(2, 3, 24) } } },
    { title: 'one token', params: { heads: 1 }, inputs: { qkv: { type: f32(3, 1, 15) } } },
    { title: 'odd', params: { heads: 3 }, inputs: { qkv: { type: f32(1, 19, 63) } } },
    {
      title: 'sharp',
      params: { heads: 1 },
      inputs: { qkv: { type: f32(1, 9, 12), low: -9, high: 9 } },
    },
    { title: 'past one tile', params: { heads: 1 }, inputs: { qkv: { type: f32(1, 67, 99) } } },
    {
      title: 'bias',
      params: { heads: 2 },
      inputs: { qkv: { type: f32(3, 5, 18) }, bias: { type: f32(2, 5, 5) } },
    },
    {
      title: 'bias, past one tile',
      params: { heads: 1 },
      inputs: { qkv: { type: f32(2, 67, 9) }, bias: { type: f32(1, 67, 67) } },
    },
    {
      title: 'shifted windows',
      params: { heads: 2, shift: 1, height: 6, width: 9 },
      inputs: { qkv: { type: f32(12, 9, 12) }, bias: { type: f32(2, 9, 9) } },
    },
    {
      title: 'shifted windows without bias, past one vector',
      params: { heads: 1, shift: 3, height: 7, width: 14 },
      inputs: { qkv: { type: f32(2, 49, 15) } },
    },
  ],
};

/** Bytes per thread, attention_scratch of kernels/attention.h. */
function attentionScratch({ tokens, tile, headDim }: AttentionSizes): number {
  const panels = headDim * roundUp(tokens, 32) + tokens * roundUp(headDim, 32);
  const scores = tile * roundUp(tokens, 16) + roundUp(tile, 16) + roundUp(tokens, 16);
  return 4 * (panels + scores + 16 * Math.max(tokens, headDim) + 512);
}
