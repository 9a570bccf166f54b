/** Gradient of attention, from the saved log-sum-exp instead of the N×N weights. */
import { f32, type TensorType } from '../ir/types.js';
import { expectShape, type Op, type ScalarKind } from './op.js';
import { expectForm, expectInteger, expectType } from './shapes.js';

export type AttentionParams = {
  /** Divides the width D. */
  readonly heads: number;
};

/** The extents that attention and its gradient share; qkv is [B, N, 3·heads·headDim]. */
export interface AttentionSizes {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
  /** Query rows that a thread handles at a time. */
  readonly tile: number;
  /** 1/√headDim. */
  readonly scale: number;
}

/** Kernel arguments of attention and its gradient: the names of AttentionSizes. */
export const ATTENTION_SCALARS = {
  batch: 'int',
  tokens: 'int',
  heads: 'int',
  headDim: 'int',
  tile: 'int',
  scale: 'float',
} as const satisfies Record<keyof AttentionSizes, ScalarKind>;

/** Few enough that a tile of scores stays in the second-level cache. */
const TILE_ROWS = 64;

export function attentionSizes(qkv: TensorType, heads: number): AttentionSizes {
  const [batch, tokens, width] = qkv.shape;
  const headDim = width / 3 / heads;
  const tile = Math.min(tokens, TILE_ROWS);
  return { batch, tokens, heads, headDim, tile, scale: 1 / Math.sqrt(headDim) };
}

/** Types of y and lse; throws ShapeError when qkv does not divide into heads. */
export function attentionTypes(qkv: TensorType, heads: number, at: string) {
  expectForm(at, 'qkv', qkv, 'f32[B,N,3D]');
  expectInteger(at, 'heads', heads, 1);
  const [batch, tokens, width] = qkv.shape;
  expectShape(
    width % (3 * heads) === 0,
    at,
    `qkv of width 3 · ${String(heads)} heads · head width`,
    qkv,
  );
  return { y: f32(batch, tokens, width / 3), lse: f32(batch, heads, tokens) };
}

/** Bytes per thread, attention_grad_scratch of kernels/attention.h. */
function attentionGradScratch({ tokens, tile, headDim }: AttentionSizes): number {
  const panels = 2 * headDim * roundUp(tokens, 32) + (tokens + 2 * tile) * roundUp(headDim, 32);
  const scores = 2 * tile * roundUp(tokens, 16) + roundUp(tile, 16);
  return 4 * (panels + scores + 14 * Math.max(tokens, headDim, tile) + 512);
}

/** `x` rounded up to a multiple of `step`. */
export function roundUp(x: number, step: number): number {
  return Math.ceil(x / step) * step;
}

/**
 * Per image and head, with s = scale · q kᵀ and p = exp(s − lse): dv = pᵀ dy; ds = p ∘ (dy vᵀ − Δ),
 * Δᵢ = dyᵢ · yᵢ; dq = scale · ds k; dk = scale · dsᵀ q.
 *
 * Reference: Dao et al., "FlashAttention", 2022 (arXiv:2205.14135), appendix B.2.
 */
export const attentionGrad: Op<AttentionParams, 'qkv' | 'y' | 'lse' | 'dy', never, 'dqkv', never> =
  {
    name: 'attention_grad',
    summary: 'ds = p ∘ (dy vᵀ − Δ), dq = scale · ds k, dk = scale · dsᵀ q, dv = pᵀ dy per head',
    inputs: ['qkv', 'y', 'lse', 'dy'],
    outputs: ['dqkv'],
    infer: ({ qkv, y, lse, dy }, { heads }, at) => {
      const types = attentionTypes(qkv, heads, at);
      expectType(at, 'y', y, types.y);
      expectType(at, 'lse', lse, types.lse);
      expectType(at, 'dy', dy, types.y);
      return { dqkv: qkv };
    },
    flops: ({ qkv }, params) => {
      const { batch, tokens, heads, headDim } = attentionSizes(qkv, params.heads);
      return batch * heads * tokens * tokens * (10 * headDim + 10);
    },
    recompute: 'costly',
    reference: ({ qkv, y, lse, dy }, { dqkv }, types, params) => {
      const { batch, tokens, heads, headDim, scale } = attentionSizes(types.qkv, params.heads);
      const width = heads * headDim;
      dqkv.fill(0);
      for (let b = 0; b < batch; b++) {
        for (let h = 0; h < heads; h++) {
          for (let i = 0; i < tokens; i++) {
            const q = (b * tokens + i) * 3 * width + h * headDim;
            const out = (b * tokens + i) * width + h * headDim;
            let delta = 0;
            for (let d = 0; d < headDim; d++) delta += dy[out + d] * y[out + d];
            for (let j = 0; j < tokens; j++) {
              const k = (b * tokens + j) * 3 * width + width + h * headDim;
              const v = k + width;
              let s = 0;
              let dp = 0;
              for (let d = 0; d < headDim; d++) {
                s += scale * qkv[q + d] * qkv[k + d];
                dp += dy[out + d] * qkv[v + d];
              }
              const p = Math.exp(s - lse[(b * heads + h) * tokens + i]);
              const ds = p * (dp - delta);
              for (let d = 0; d < headDim; d++) {
                dqkv[q + d] += scale * ds * qkv[k + d];
                dqkv[k + d] += scale * ds * qkv[q + d];
                dqkv[v + d] += p * dy[out + d];
              }
            }
          }
        }
      }
    },
    scalars: ATTENTION_SCALARS,
    encode: ({ qkv }, { heads }) => ({ ...attentionSizes(qkv, heads) }),
    scratch: ({ qkv }, { heads }) => attentionGradScratch(attentionSizes(qkv, heads)),
    // lse is above any possible log-sum-exp of the scores, so that every weight is below one.
    samples: [
      sample('small', 2, [2, 3, 2, 4]),
      sample('one token', 1, [3, 1, 1, 5]),
      sample('odd', 3, [1, 19, 3, 7]),
      sample('past one tile', 1, [1, 67, 1, 33]),
    ],
  };

function sample(title: string, heads: number, [batch, tokens, , headDim]: readonly number[]) {
  const width = heads * headDim;
  return {
    title,
    params: { heads },
    inputs: {
      qkv: { type: f32(batch, tokens, 3 * width) },
      y: { type: f32(batch, tokens, width) },
      lse: { type: f32(batch, heads, tokens), low: 2, high: 4 },
      dy: { type: f32(batch, tokens, width) },
    },
  };
}
