/**
 * Gradient of attention, from the saved log-sum-exp instead of the N×N weights.
 *
 * The paper takes Δ from the output, Δᵢ = dyᵢ · yᵢ. As y = p v it is also the sum of p ∘ (dy vᵀ) over the
 * row, which is at hand: so the output need not be saved for the backward pass.
 */
import { elements, f32, type TensorType } from '../ir/types.js';
import {
  ATTENTION_PARAMS,
  ATTENTION_SCALARS,
  attentionSizes,
  attentionTypes,
  scoreOf,
  type AttentionParams,
  type AttentionSizes,
} from './attention-sizes.js';
import { expectShape, type Op } from './op.js';
import { expectType, roundUp } from './shapes.js';

export type AttentionGradParams = AttentionParams & {
  /** The gradient of the bias is wanted too. */
  readonly biasGradient?: boolean;
};

/**
 * Per image and head, with s = scale · q kᵀ + bias and p = exp(s − lse): dv = pᵀ dy; dp = dy vᵀ;
 * ds = p ∘ (dp − Δ), Δᵢ = Σⱼ pᵢⱼ dpᵢⱼ; dq = scale · ds k; dk = scale · dsᵀ q; dbias = Σ ds over the images.
 *
 * Reference: Dao et al., "FlashAttention", 2022 (arXiv:2205.14135), appendix B.2.
 */
export const attentionGrad: Op<AttentionGradParams, 'qkv' | 'lse' | 'dy', 'bias', 'dqkv', 'dbias'> =
  {
    name: 'attention_grad',
    gradientOf: 'attention',
    summary:
      'ds = p ∘ (dy vᵀ − Δ), dq = scale · ds k, dk = scale · dsᵀ q, dv = pᵀ dy, dbias = Σ ds',
    inputs: ['qkv', 'lse', 'dy', 'bias?'],
    outputs: ['dqkv', 'dbias?'],
    params: { ...ATTENTION_PARAMS, biasGradient: 'truth?' },
    infer: ({ qkv, lse, dy, bias }, params, at) => {
      const types = attentionTypes({ qkv, ...(bias && { bias }) }, params, at);
      expectType(at, 'lse', lse, types.lse);
      expectType(at, 'dy', dy, types.y);
      if (params.biasGradient !== true) return { dqkv: qkv };
      expectShape(bias !== undefined, at, 'a bias, whose gradient is wanted', 'none');
      return { dqkv: qkv, ...(bias && { dbias: bias }) };
    },
    flops: ({ qkv, bias }, params) => {
      const { batch, tokens, heads, headDim } = attentionSizes(qkv, params);
      const extra = (bias ? 1 : 0) + (params.biasGradient === true ? 1 : 0);
      return batch * heads * tokens * tokens * (10 * headDim + 10 + extra);
    },
    recompute: 'costly',
    reference: ({ qkv, lse, dy, bias }, { dqkv, dbias }, types, params) => {
      const sizes = attentionSizes(types.qkv, params);
      const { batch, tokens, heads, headDim, scale } = sizes;
      const operands = { qkv, ...(bias && { bias }) };
      const width = heads * headDim;
      const weights = new Float64Array(tokens);
      const slopes = new Float64Array(tokens);
      dqkv.fill(0);
      dbias?.fill(0);
      for (let b = 0; b < batch; b++) {
        for (let h = 0; h < heads; h++) {
          for (let i = 0; i < tokens; i++) {
            const q = (b * tokens + i) * 3 * width + h * headDim;
            const out = (b * tokens + i) * width + h * headDim;
            let delta = 0;
            for (let j = 0; j < tokens; j++) {
              const v = (b * tokens + j) * 3 * width + 2 * width + h * headDim;
              slopes[j] = 0;
              for (let d = 0; d < headDim; d++) slopes[j] += dy[out + d] * qkv[v + d];
              const s = scoreOf(operands, sizes, [b, h, i, j]);
              weights[j] = Math.exp(s - lse[(b * heads + h) * tokens + i]);
              delta += weights[j] * slopes[j];
            }
            for (let j = 0; j < tokens; j++) {
              const k = (b * tokens + j) * 3 * width + width + h * headDim;
              const v = k + width;
              const p = weights[j];
              const ds = p * (slopes[j] - delta);
              for (let d = 0; d < headDim; d++) {
                dqkv[q + d] += scale * ds * qkv[k + d];
                dqkv[k + d] += scale * ds * qkv[q + d];
                dqkv[v + d] += p * dy[out + d];
              }
              if (dbias) dbias[(h * tokens + i) * tokens + j] += ds;
            }
          }
        }
      }
    },
    scalars: { ...ATTENTION_SCALARS, chunks: 'int' },
    encode: ({ qkv }, params) => ({
      ...attentionSizes(qkv, params),
      chunks: chunksOf(attentionSizes(qkv, params), params),
    }),
    scratch: ({ qkv }, params) => attentionGradScratch(attentionSizes(qkv, params)),
    workspace: ({ qkv, bias }, params) =>
      params.biasGradient === true && bias
        ? 4 * chunksOf(attentionSizes(qkv, params), params) * elements(bias.shape)
        : 0,
    // lse is above any possible log-sum-exp of the scores, so that every weight is below one.
    samples: [
      sample('small', { heads: 2 }, [2, 3, 4]),
      sample('one token', { heads: 1 }, [3, 1, 5]),
      sample('odd', { heads: 3 }, [1, 19, 7]),
      sample('past one tile', { heads: 1 }, [1, 67, 33]),
      sample('bias', { heads: 2 }, [3, 5, 3], 'with bias'),
      sample('bias and its gradient', { heads: 2, biasGradient: true }, [60, 5, 3], 'with bias'),
      sample('bias, past one tile', { heads: 1, biasGradient: true }, [2, 67, 5], 'with bias'),
      sample(
        'shifted windows',
        { heads: 3, shift: 2, height: 6, width: 9, biasGradient: true },
        [12, 9, 4],
        'with bias',
      ),
      sample(
        'shifted windows without bias',
        { heads: 1, shift: 3, height: 14, width: 7 },
        [2, 49, 3],
      ),
    ],
  };

/** Items of work wanted where the bias sums over images: enough for any number of threads. */
const ITEMS = 48;

/**
 * Into how many parts the images are cut; a part of one head is one thread's work. With a gradient of the
 * bias each part sums its own, and the parts are added in order.
 */
function chunksOf({ batch, heads }: AttentionSizes, params: AttentionGradParams): number {
  return params.biasGradient === true ? Math.min(batch, Math.ceil(ITEMS / heads)) : batch;
}

/** Bytes per thread, attention_grad_scratch of kernels/attention.h. */
function attentionGradScratch({ tokens, tile, headDim }: AttentionSizes): number {
  const panels = 2 * headDim * roundUp(tokens, 32) + (tokens + 2 * tile) * roundUp(headDim, 32);
  const scores = 2 * tile * roundUp(tokens, 16) + roundUp(tokens, 16);
  return 4 * (panels + scores + 16 * Math.max(tokens, headDim, tile) + 512);
}

function sample(
  title: string,
  params: AttentionGradParams,
  [batch, tokens, headDim]: readonly number[],
  bias: 'with bias' | 'plain' = 'plain',
) {
  const { heads } = params;
  const width = heads * headDim;
  const low = bias === 'plain' ? 2 : 3;
  const inputs = {
    qkv: { type: f32(batch, tokens, 3 * width) },
    lse: { type: f32(batch, heads, tokens), low, high: low + 2 },
    dy: { type: f32(batch, tokens, width) },
  };
  const extra: { readonly type: TensorType } = { type: f32(heads, tokens, tokens) };
  return { title, params, inputs: bias === 'plain' ? inputs : { ...inputs, bias: extra } };
}
