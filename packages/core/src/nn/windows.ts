/**
 * Layers of hierarchical transformers: attention inside windows, merging of patches. Images are
 * [B, H, W, C] in tokens; parameter names follow timm.
 *
 * Reference: Liu et al., "Swin Transformer", ICCV 2021 (arXiv:2103.14030), section 3.
 */
import type { Value } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import { add } from '../ops/add.js';
import { attention } from '../ops/attention.js';
import type { GraphBuilder } from '../ops/builder.js';
import { relativePositionBias } from '../ops/relative-position-bias.js';
import { reshaped } from '../ops/reshape.js';
import { windows } from '../ops/windows.js';
import { layerNorm, linear, mlp } from './layers.js';

/** Standard deviation of a table of relative positions at the start. */
const TABLE_STD = 0.02;

export interface WindowOptions {
  readonly heads: number;
  /** Side of a window in tokens; divides H and W. */
  readonly window: number;
  /** Rows and columns by which windows are shifted, below `window`. */
  readonly shift: number;
}

/**
 * Multi-head self-attention inside windows: softmax(QKᵀ/√d + bias) V, projected; x [B, H, W, C]. Keys,
 * queries and the projection see windows [B·HW/w², w², C]; with a shift, tokens from opposite edges of the
 * image that meet in a window do not see each other.
 */
function windowAttention(
  builder: GraphBuilder,
  name: string,
  x: Value,
  { heads, window, shift }: WindowOptions,
): Value {
  const [, height, width, channels] = x.type.shape;
  const layout = { window, shift, columnMajor: false, height, width };
  return builder.scope(name, () => {
    const cut = builder.emit(windows, { x }, { ...layout, inverse: false }, 'windows').y;
    const qkv = linear(builder, 'qkv', cut, 3 * channels);
    const table = builder.parameter(
      'relative_position_bias_table',
      f32((2 * window - 1) ** 2, heads),
      { initial: { kind: 'truncatedNormal', std: TABLE_STD }, decay: false },
    );
    const bias = builder.emit(relativePositionBias, { table }, { window }, 'position').y;
    const params = { heads, ...(shift > 0 && { shift, height, width }) };
    const mixed = builder.emit(attention, { qkv, bias }, params, 'mix').y;
    const projected = linear(builder, 'proj', mixed, channels);
    return builder.emit(windows, { x: projected }, { ...layout, inverse: true }, 'image').y;
  });
}

/** Pre-norm block of a Swin transformer: x + attention(norm(x)), then x + mlp(norm(x)). */
export function windowBlock(
  builder: GraphBuilder,
  name: string,
  x: Value,
  options: WindowOptions & { readonly hidden: number; readonly eps: number },
): Value {
  const { hidden, eps } = options;
  return builder.scope(name, () => {
    const normed = layerNorm(builder, 'norm1', x, eps);
    const attended = windowAttention(builder, 'attn', normed, options);
    const middle = builder.emit(add, { a: x, b: attended }, {}, 'residual1').y;
    const mixed = mlp(builder, 'mlp', layerNorm(builder, 'norm2', middle, eps), hidden);
    return builder.emit(add, { a: middle, b: mixed }, {}, 'residual2').y;
  });
}

/**
 * Every 2 × 2 tokens become one: [B, H, W, C] → [B, H/2, W/2, 4C] in the order (0,0), (1,0), (0,1), (1,1)
 * of (row, column), normed, then projected to `width` without a bias. H and W are even.
 */
export function patchMerging(
  builder: GraphBuilder,
  name: string,
  x: Value,
  { width: outputs, eps }: { readonly width: number; readonly eps: number },
): Value {
  const [batch, height, width, channels] = x.type.shape;
  const layout = { window: 2, shift: 0, columnMajor: true, inverse: false, height, width };
  return builder.scope(name, () => {
    const { y } = builder.emit(windows, { x }, layout, 'merge');
    const merged = reshaped(builder, y, [batch, height / 2, width / 2, 4 * channels]);
    return linear(builder, 'reduction', layerNorm(builder, 'norm', merged, eps), outputs, {
      bias: false,
    });
  });
}
