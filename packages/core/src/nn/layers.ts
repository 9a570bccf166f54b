/**
 * Layers as functions on the builder. Parameter names follow timm and torch: `<scope>.weight`,
 * `<scope>.bias`. Shapes: B batch, N tokens, D width, O outputs.
 */
import type { Value } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import { add } from '../ops/add.js';
import { attention as attentionOp } from '../ops/attention.js';
import type { GraphBuilder } from '../ops/builder.js';
import { gelu } from '../ops/gelu.js';
import { layernorm } from '../ops/layernorm.js';
import { matmul, TRANSPOSED_B } from '../ops/matmul.js';
import { patchify } from '../ops/patchify.js';

/**
 * y = x Wᵀ + b; x [..., D], W [O, D], y [..., O]; `bias: false` leaves b out.
 *
 * W starts uniform within ±√(6 / (D + O)), as in the original ViT: a normal of width 0.02, also in use,
 * leaves a narrow network almost linear. The bias starts at zero.
 *
 * Reference: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks,
 * AISTATS 2010, eq. 16.
 */
export function linear(
  builder: GraphBuilder,
  name: string,
  x: Value,
  outputs: number,
  { bias: hasBias = true }: { readonly bias?: boolean } = {},
): Value {
  const width = x.type.shape[x.type.shape.length - 1];
  const initial = { kind: 'uniform', bound: Math.sqrt(6 / (width + outputs)) } as const;
  const operands = builder.scope(name, () => ({
    b: builder.parameter('weight', f32(outputs, width), { initial }),
    ...(hasBias && { bias: biasParameter(builder, outputs) }),
  }));
  return builder.emit(matmul, { a: x, ...operands }, TRANSPOSED_B, name).y;
}

function biasParameter(builder: GraphBuilder, outputs: number): Value {
  return builder.parameter('bias', f32(outputs), { initial: { kind: 'zeros' }, decay: false });
}

/** y = (x − mean)/√(var + eps) · γ + β over the last axis. */
export function layerNorm(builder: GraphBuilder, name: string, x: Value, eps: number): Value {
  const width = x.type.shape[x.type.shape.length - 1];
  const { gamma, beta } = builder.scope(name, () => ({
    gamma: builder.parameter('weight', f32(width), { initial: { kind: 'ones' }, decay: false }),
    beta: biasParameter(builder, width),
  }));
  return builder.emit(layernorm, { x, gamma, beta }, { eps }, name).y;
}

/**
 * Convolution with stride = kernel = `patch`, as patches times a matrix: image [B, C, H, W] → tokens
 * [B, (H/p)(W/p), D]. The weight is [D, C, p, p] as in checkpoints.
 */
export function patchEmbed(
  builder: GraphBuilder,
  name: string,
  image: Value,
  patch: number,
  width: number,
): Value {
  const [, channels, height, imageWidth] = image.type.shape;
  const { weight, bias } = builder.scope(`${name}.proj`, () => ({
    weight: builder.parameter('weight', f32(width, channels, patch, patch), {
      initial: { kind: 'truncatedNormal', std: 1 / Math.sqrt(channels * patch * patch) },
    }),
    bias: biasParameter(builder, width),
  }));
  const layout = { patch, channels, height, width: imageWidth, inverse: false };
  const patches = builder.emit(patchify, { x: image }, layout, `${name}.patches`).y;
  return builder.emit(matmul, { a: patches, b: weight, bias }, TRANSPOSED_B, `${name}.proj`).y;
}

/** Multi-head self-attention with fused qkv: softmax(QKᵀ/√d) V, projected; x [B, N, D]. */
export function attention(builder: GraphBuilder, name: string, x: Value, heads: number): Value {
  const width = x.type.shape[x.type.shape.length - 1];
  return builder.scope(name, () => {
    const qkv = linear(builder, 'qkv', x, 3 * width);
    const mixed = builder.emit(attentionOp, { qkv }, { heads }, 'mix').y;
    return linear(builder, 'proj', mixed, width);
  });
}

/** W₂ gelu(W₁ x + b₁) + b₂ with `hidden` units between. */
export function mlp(builder: GraphBuilder, name: string, x: Value, hidden: number): Value {
  const width = x.type.shape[x.type.shape.length - 1];
  return builder.scope(name, () => {
    const before = linear(builder, 'fc1', x, hidden);
    const after = builder.emit(gelu, { x: before }, {}, 'act').y;
    return linear(builder, 'fc2', after, width);
  });
}

/** Pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x)). */
export function transformerBlock(
  builder: GraphBuilder,
  name: string,
  x: Value,
  options: { readonly heads: number; readonly hidden: number; readonly eps: number },
): Value {
  const { heads, hidden, eps } = options;
  return builder.scope(name, () => {
    const attended = attention(builder, 'attn', layerNorm(builder, 'norm1', x, eps), heads);
    const middle = builder.emit(add, { a: x, b: attended }, {}, 'residual1').y;
    const mixed = mlp(builder, 'mlp', layerNorm(builder, 'norm2', middle, eps), hidden);
    return builder.emit(add, { a: middle, b: mixed }, {}, 'residual2').y;
  });
}
