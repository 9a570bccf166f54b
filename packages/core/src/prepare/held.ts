/**
 * held: numbers that wait on the host between two programs, in fewer bytes.
 *
 *   rows       8 bits and a scale for each row, as `quantise` (ops/quantise.ts) has them: D + 4 bytes a row
 *   triangles  of a symmetric or an upper triangular matrix, in bfloat16: n(n + 1) bytes
 *
 * Both keep what is measured from them: a second moment does not feel a relative error of 1/254 or 2⁻⁸ in
 * what is averaged. A matrix that has to stay positive definite is held as its triangular root, of which any
 * rounding gives one.
 */
import type { HostData } from '../executors/executor.js';

const LEVELS = 127;

/** [rows, width] */
export interface HeldRows {
  readonly values: Int8Array;
  readonly scales: Float32Array;
}

export function holdRows(data: HostData, width: number): HeldRows {
  const values = new Int8Array(data.length);
  const scales = new Float32Array(data.length / width);
  for (let row = 0, begin = 0; row < scales.length; row++, begin += width) {
    let most = 0;
    for (let at = begin; at < begin + width; at++) most = Math.max(most, Math.abs(data[at]));
    if (most === 0) continue;
    scales[row] = most / LEVELS;
    const inverse = LEVELS / most;
    for (let at = begin; at < begin + width; at++) values[at] = Math.round(data[at] * inverse);
  }
  return { values, scales };
}

export function rowsOf({ values, scales }: HeldRows): Float32Array {
  const result = new Float32Array(values.length);
  const width = values.length / scales.length;
  for (let row = 0, at = 0; row < scales.length; row++) {
    for (const end = at + width; at < end; at++) result[at] = values[at] * scales[row];
  }
  return result;
}

/** What rows of a tensor take, last extent `width`. */
export function heldRowBytes(elements: number, width: number): number {
  return elements + 4 * (elements / width);
}

/** The upper triangle of a [n, n], row by row, rounded to nearest. */
export function holdTriangle(a: HostData, size: number): Uint16Array {
  const result = new Uint16Array((size * (size + 1)) / 2);
  const row = new Float32Array(size);
  const bits = new Uint32Array(row.buffer);
  let to = 0;
  for (let i = 0; i < size; i++) {
    row.set(a.subarray(i * size, (i + 1) * size));
    for (let j = i; j < size; j++) {
      result[to++] = (bits[j] + 0x7fff + ((bits[j] >>> 16) & 1)) >>> 16;
    }
  }
  return result;
}

/** The matrix [n, n] of an upper triangle; below it `mirrored` numbers, or zeros. */
export function triangleOf(held: Uint16Array, size: number, mirrored: boolean): Float32Array {
  const result = new Float32Array(size * size);
  const bits = new Uint32Array(result.buffer);
  let from = 0;
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      const word = held[from++] << 16;
      bits[i * size + j] = word;
      if (mirrored) bits[j * size + i] = word;
    }
  }
  return result;
}
