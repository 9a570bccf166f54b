/**
 * Multi-head self-attention from packed queries, keys and values. The N×N weights are never stored:
 * the log-sum-exp of every row of scores is saved and the gradient computes the weights again.
 *
 * Layout of qkv as in timm: [B, N, 3, heads, headDim] folded to [B, N, 3D], D = heads · headDim.
 * Reference: Vaswani et al., "Attention Is All You Need", 2017 (arXiv:1706.03762), equation 1.
 */
import { f32 } from '../ir/types.js';
import {
  ATTENTION_SCALARS,
  attentionGrad,
  attentionSizes,
  attentionTypes,
  roundUp,
  type AttentionParams,
  type AttentionSizes,
} from './attention-grad.js';
import { logSumExp } from './log-sum-exp.js';
import type { Op } from './op.js';
import { refuseGradients } from './shapes.js';

/** y = softmax(q kᵀ/√headDim) v per head; y [B, N, D], lse [B, heads, N]. */
export const attention: Op<AttentionParams, 'qkv', never, 'y' | 'lse', never> = {
  name: 'attention',
  summary: 'y = softmax(q kᵀ/√headDim) v per head; lse = log Σ exp of each row of scores',
  inputs: ['qkv'],
  outputs: ['y', 'lse'],
  infer: ({ qkv }, { heads }, at) => attentionTypes(qkv, heads, at),
  grad: ({ emitter, inputs, outputs, outputGrads, params, needs }) => {
    refuseGradients('attention', outputGrads, ['lse']);
    if (!outputGrads.y || !needs('qkv')) return {};
    const operands = { qkv: inputs.qkv, y: outputs.y, lse: outputs.lse, dy: outputGrads.y };
    return { qkv: emitter.emit(attentionGrad, operands, params).dqkv };
  },
  flops: ({ qkv }, params) => {
    const { batch, tokens, heads, headDim } = attentionSizes(qkv, params.heads);
    return batch * heads * tokens * tokens * (4 * headDim + 10);
  },
  recompute: 'costly',
  reference: ({ qkv }, { y, lse }, types, params) => {
    const { batch, tokens, heads, headDim, scale } = attentionSizes(types.qkv, params.heads);
    const width = heads * headDim;
    const scores = new Float64Array(tokens);
    for (let b = 0; b < batch; b++) {
      for (let h = 0; h < heads; h++) {
        const keys = b * tokens * 3 * width + width + h * headDim;
        for (let i = 0; i < tokens; i++) {
          const q = (b * tokens + i) * 3 * width + h * headDim;
          for (let j = 0; j < tokens; j++) {
            scores[j] = 0;
            for (let d = 0; d < headDim; d++) {
              scores[j] += scale * qkv[q + d] * qkv[keys + j * 3 * width + d];
            }
          }
          const normaliser = logSumExp(scores);
          lse[(b * heads + h) * tokens + i] = normaliser;
          for (let d = 0; d < headDim; d++) {
            let sum = 0;
            for (let j = 0; j < tokens; j++) {
              sum += Math.exp(scores[j] - normaliser) * qkv[keys + (j * 3 + 1) * width + d];
            }
            y[(b * tokens + i) * width + h * headDim + d] = sum;
          }
        }
      }
    }
  },
  scalars: ATTENTION_SCALARS,
  encode: ({ qkv }, { heads }) => ({ ...attentionSizes(qkv, heads) }),
  scratch: ({ qkv }, { heads }) => attentionScratch(attentionSizes(qkv, heads)),
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
  ],
};

/** Bytes per thread, attention_scratch of kernels/attention.h. */
function attentionScratch({ tokens, tile, headDim }: AttentionSizes): number {
  const panels = headDim * roundUp(tokens, 32) + tokens * roundUp(headDim, 32);
  const scores = tile * roundUp(tokens, 16) + roundUp(tile, 16);
  return 4 * (panels + scores + 14 * Math.max(tokens, headDim) + 512);
}
