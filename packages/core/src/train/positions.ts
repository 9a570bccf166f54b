/**
 * Position embeddings at another image size: the patches' rows are a picture of G × G points with D
 * channels, resized by antialiased bicubic interpolation; rows of class and distillation tokens are kept.
 *
 * Output point i reads the inputs around c = (i + 1/2)·s, s = G/G′, with Keys' cubic (a = −1/2)
 * widened by max(s, 1) and weights normalised to sum 1; rows first, then columns, in float64.
 *
 * Source: timm.layers.resample_abs_pos_embed, that is torch.nn.functional.interpolate(mode='bicubic',
 * antialias=True); reference/positions_fixture.py writes the fixture that the test compares with.
 */
import type { Shape } from '../ir/types.js';

/** True when a tensor [1, N, D] can become [1, N′, D]: square grids behind the same prefix rows. */
export function canResizePositions(from: Shape, to: Shape, prefix: number): boolean {
  if (from.length !== 3 || to.length !== 3) return false;
  if (from[0] !== 1 || to[0] !== 1 || from[2] !== to[2]) return false;
  return [from[1], to[1]].every((rows) => {
    const side = Math.sqrt(rows - prefix);
    return rows > prefix && Number.isInteger(side);
  });
}

/**
 * Resizes a position embedding [1, N, D] to `rows` rows.
 *
 * @param prefix rows of class and distillation tokens in front, which stay as they are
 * @example resizePositions(data, [1, 197, 192], 65, 1); // 224 px → 128 px at patch 16
 */
export function resizePositions(
  data: Float32Array,
  shape: Shape,
  rows: number,
  prefix: number,
): Float32Array {
  const [, fromRows, width] = shape;
  const from = Math.sqrt(fromRows - prefix);
  const to = Math.sqrt(rows - prefix);
  const taps = Array.from({ length: to }, (_, at) => tapsOf(at, from, to));
  const across = new Float64Array(from * to * width); // [from, to, D]
  for (let y = 0; y < from; y++) {
    taps.forEach(({ first, weights }, x) => {
      weights.forEach((weight, tap) => {
        const source = (prefix + y * from + first + tap) * width;
        const target = (y * to + x) * width;
        for (let d = 0; d < width; d++) across[target + d] += weight * data[source + d];
      });
    });
  }
  const result = new Float32Array(rows * width);
  result.set(data.subarray(0, prefix * width));
  const row = new Float64Array(to * width);
  taps.forEach(({ first, weights }, y) => {
    row.fill(0);
    weights.forEach((weight, tap) => {
      const source = (first + tap) * to * width;
      for (let i = 0; i < row.length; i++) row[i] += weight * across[source + i];
    });
    result.set(row, (prefix + y * to) * width);
  });
  return result;
}

interface Taps {
  /** First input point. */
  readonly first: number;
  readonly weights: readonly number[];
}

function tapsOf(at: number, from: number, to: number): Taps {
  const scale = from / to;
  const widening = Math.max(scale, 1);
  const centre = (at + 0.5) * scale;
  const first = Math.max(0, Math.trunc(centre - 2 * widening + 0.5));
  const end = Math.min(from, Math.trunc(centre + 2 * widening + 0.5));
  const raw = Array.from({ length: end - first }, (_, tap) =>
    cubic(Math.abs((first + tap - centre + 0.5) / widening)),
  );
  const sum = raw.reduce((total, weight) => total + weight, 0);
  return { first, weights: raw.map((weight) => weight / sum) };
}

/** Keys' cubic convolution with a = −1/2, at x ≥ 0. */
function cubic(x: number): number {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}
