/**
 * quantile: of as many numbers as a model has weights, exactly, without holding or sorting them.
 *
 * The bits of floats that are not negative are in the order of the floats. So the k-th smallest is found by
 * its bits, 16 at a time from the highest: one pass counts the numbers by these 16 bits, among those whose
 * higher bits are the ones found so far. Four passes find 64 bits, and one more its successor.
 */
import { DataError } from '../errors.js';

/** The numbers in pieces, from the start at every call. */
export type Pieces = () => AsyncIterable<Float64Array> | Iterable<Float64Array>;

const DIGITS = 1 << 16;
/** The highest 16 bits of infinity; those of NaN and of what has a sign are as large or larger. */
const NOT_COUNTED = 0x7ff0;

/**
 * The quantile `share` of the finite numbers without a sign among `pieces`, between two of them by linear interpolation,
 * as numpy.quantile does it. Throws DataError where there is none.
 *
 * @param share 0 for the smallest, 1 for the largest
 */
export async function quantile(pieces: Pieces, share: number): Promise<number> {
  const counts = await countDigits(pieces, [], 0);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) {
    throw new DataError({
      where: 'quantile',
      expected: 'at least one finite number ≥ 0',
      got: 'none',
      todo: 'Check that the gradients of the model are not all zero',
    });
  }
  const position = Math.min(Math.max(share, 0), 1) * (total - 1);
  const rank = Math.floor(position);
  const low = await orderStatistic(pieces, counts, rank);
  if (rank === position) return low;
  const high = await successor(pieces, low, rank);
  return low + (high - low) * (position - rank);
}

/** The number at `rank` (from 0) in ascending order. @param counts of the first digits */
async function orderStatistic(pieces: Pieces, counts: Float64Array, rank: number): Promise<number> {
  const digits: number[] = [];
  let [current, left] = [counts, rank];
  for (;;) {
    let digit = 0;
    for (; left >= current[digit]; digit++) left -= current[digit];
    digits.push(digit);
    if (digits.length === 4) break;
    current = await countDigits(pieces, digits, digits.length);
  }
  const bytes = new DataView(new ArrayBuffer(8));
  digits.forEach((digit, place) => {
    bytes.setUint16(2 * place, digit);
  });
  return bytes.getFloat64(0);
}

/** The number at `rank` + 1, where `low` is at `rank`. */
async function successor(pieces: Pieces, low: number, rank: number): Promise<number> {
  let upToLow = 0;
  let least = Infinity;
  for await (const piece of pieces()) {
    for (const value of piece) {
      if (value > low) least = Math.min(least, value);
      else if (value >= 0 && !Object.is(value, -0)) upToLow++;
    }
  }
  return upToLow > rank + 1 ? low : least;
}

/** How many numbers with these first digits have which digit at `place`. */
async function countDigits(
  pieces: Pieces,
  first: readonly number[],
  place: number,
): Promise<Float64Array> {
  const counts = new Float64Array(DIGITS);
  const [a = 0, b = 0, c = 0] = first;
  for await (const piece of pieces()) {
    const words = new Uint16Array(piece.buffer, piece.byteOffset, 4 * piece.length);
    for (let i = 0; i < piece.length; i++) {
      const at = 4 * i + 3; // little-endian: the highest 16 bits come last
      if (words[at] >= NOT_COUNTED) continue;
      if (place > 0 && words[at] !== a) continue;
      if (place > 1 && words[at - 1] !== b) continue;
      if (place > 2 && words[at - 2] !== c) continue;
      counts[words[at - place]]++;
    }
  }
  return counts;
}
