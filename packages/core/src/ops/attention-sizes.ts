/**
 * What attention and its gradient share: extents, kernel arguments, and the scores.
 *
 * Windows. With `shift`, qkv holds the windows of shifted images (op `windows`): batch = images · rows ·
 * columns windows of w × w tokens, N = w². In the last row and column of windows the shift has brought
 * together tokens from opposite edges of the image; their scores get MASK added, which leaves no weight
 * between them. The cut runs `shift` tokens before the end of such a window.
 *
 * Reference: Liu et al., "Swin Transformer", 2021 (arXiv:2103.14030), section 3.2 and figure 4.
 */
import { f32, type TensorType } from '../ir/types.js';
import { expectShape, type Data, type ScalarKind } from './op.js';
import type { ParamKinds } from './params.js';
import { expectForm, expectInteger, expectType } from './shapes.js';

export type AttentionParams = {
  /** Divides the width D. */
  readonly heads: number;
  /** Tokens by which the images were shifted before they were cut into windows; absent: no mask. */
  readonly shift?: number;
  /** The image in tokens; needed with `shift`. */
  readonly height?: number;
  readonly width?: number;
};

/** The kinds of AttentionParams. */
export const ATTENTION_PARAMS = {
  heads: 'whole',
  shift: 'whole?',
  height: 'whole?',
  width: 'whole?',
} as const satisfies ParamKinds<AttentionParams>;

/** Added to the score of two tokens that are no neighbours; e⁻¹⁰⁰ is nothing in float32. */
export const MASK = -100;

/** The extents that attention and its gradient share; qkv is [B, N, 3·heads·headDim]. */
export interface AttentionSizes {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
  /** Query rows that a thread handles at a time. */
  readonly tile: number;
  /** Side of a window in tokens, windows down and across, and the shift; all zero without a shift. */
  readonly window: number;
  readonly rows: number;
  readonly columns: number;
  readonly shift: number;
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
  window: 'int',
  rows: 'int',
  columns: 'int',
  shift: 'int',
  scale: 'float',
} as const satisfies Record<keyof AttentionSizes, ScalarKind>;

/** Few enough that a tile of scores stays in the second-level cache. */
const TILE_ROWS = 64;

export function attentionSizes(qkv: TensorType, params: AttentionParams): AttentionSizes {
  const [batch, tokens, threeWidths] = qkv.shape;
  const { heads, shift = 0, height = 0, width = 0 } = params;
  const headDim = threeWidths / 3 / heads;
  const tile = Math.min(tokens, TILE_ROWS);
  const window = shift > 0 ? Math.round(Math.sqrt(tokens)) : 0;
  const [rows, columns] = window > 0 ? [height / window, width / window] : [0, 0];
  const scale = 1 / Math.sqrt(headDim);
  return { batch, tokens, heads, headDim, tile, window, rows, columns, shift, scale };
}

/** Types of y and lse; throws ShapeError when qkv does not divide into heads or windows. */
export function attentionTypes(
  { qkv, bias }: { readonly qkv: TensorType; readonly bias?: TensorType },
  params: AttentionParams,
  at: string,
) {
  const { heads } = params;
  expectForm(at, 'qkv', qkv, 'f32[B,N,3D]');
  expectInteger(at, 'heads', heads, 1);
  const [batch, tokens, width] = qkv.shape;
  expectShape(
    width % (3 * heads) === 0,
    at,
    `qkv of width 3 · ${String(heads)} heads · head width`,
    qkv,
  );
  if (bias) expectType(at, 'bias', bias, f32(heads, tokens, tokens));
  if (params.shift !== undefined) expectWindows(qkv, params, at);
  return { y: f32(batch, tokens, width / 3), lse: f32(batch, heads, tokens) };
}

function expectWindows(qkv: TensorType, params: AttentionParams, at: string): void {
  const { shift = 0, height = 0, width = 0 } = params;
  for (const [name, value] of Object.entries({ shift, height, width })) {
    expectInteger(at, name, value, 1);
  }
  const { batch, tokens, window, rows, columns } = attentionSizes(qkv, params);
  expectShape(
    window * window === tokens &&
      shift < window &&
      [rows, columns, batch / (rows * columns)].every(Number.isSafeInteger),
    at,
    `qkv of the windows of images of ${String(height)} × ${String(width)} tokens, ` +
      `larger than their shift ${String(shift)}`,
    qkv,
  );
}

/** Whether tokens i and j of window `index` have come from different sides of the image. */
function isMasked(sizes: AttentionSizes, index: number, i: number, j: number): boolean {
  const { window, rows, columns, shift } = sizes;
  if (shift === 0) return false;
  const cut = window - shift;
  const column = index % columns;
  const row = Math.floor(index / columns) % rows;
  const below = (token: number) => Math.floor(token / window) >= cut;
  const right = (token: number) => token % window >= cut;
  return (
    (row === rows - 1 && below(i) !== below(j)) || (column === columns - 1 && right(i) !== right(j))
  );
}

/** scale · qᵢ · kⱼ + bias + mask of window b and head h, in float64. */
export function scoreOf(
  { qkv, bias }: { readonly qkv: Data; readonly bias?: Data },
  sizes: AttentionSizes,
  [b, h, i, j]: readonly [b: number, h: number, i: number, j: number],
): number {
  const { tokens, heads, headDim, scale } = sizes;
  const row = 3 * heads * headDim;
  const q = (b * tokens + i) * row + h * headDim;
  const k = (b * tokens + j) * row + (heads + h) * headDim;
  let sum = 0;
  for (let d = 0; d < headDim; d++) sum += scale * qkv[q + d] * qkv[k + d];
  if (bias) sum += bias[(h * tokens + i) * tokens + j];
  return isMasked(sizes, b, i, j) ? sum + MASK : sum;
}
