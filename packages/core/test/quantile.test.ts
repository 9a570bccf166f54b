/** The quantile of many numbers against sorting them. */
import { expect, it } from 'vitest';
import { DataError } from '../src/errors.js';
import { Random } from '../src/random.js';
import { quantile } from '../src/unlearn/quantile.js';

/** numpy.quantile, by sorting. */
function sorted(values: readonly number[], share: number): number {
  const all = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  const position = share * (all.length - 1);
  const [low, high] = [all[Math.floor(position)], all[Math.ceil(position)]];
  return low + (high - low) * (position - Math.floor(position));
}

const SHARES = [0, 1e-3, 0.25, 1 / 3, 0.5, 0.9, 0.9931, 0.9999, 1];

it('is that of sorting, for numbers of all sizes in pieces of any length', async () => {
  const random = Random.of(1, 'quantile');
  const values = Array.from({ length: 5003 }, () => Math.exp(40 * random.normal()));
  const pieces = [values.slice(0, 17), [], values.slice(17, 4000), values.slice(4000)].map(
    (piece) => Float64Array.from(piece),
  );
  for (const share of SHARES) {
    expect(await quantile(() => pieces, share), String(share)).toBe(sorted(values, share));
  }
});

it('tells numbers apart that share all but their last bits, and equal ones not', async () => {
  const random = Random.of(2, 'quantile');
  const values = Array.from({ length: 999 }, (_, index) =>
    index % 3 === 0 ? 1.5 : 1 + Math.floor(random.uniform() * 1e4) * Number.EPSILON,
  );
  for (const share of SHARES) {
    const found = await quantile(() => [Float64Array.from(values)], share);
    expect(found, String(share)).toBe(sorted(values, share));
  }
});

it('leaves out what is no finite number, and knows zero and the smallest one', async () => {
  const values = [NaN, Infinity, -0, -3, 0, 0, Number.MIN_VALUE, 7];
  const at = (share: number) => quantile(() => [Float64Array.from(values)], share);
  expect(await at(0)).toBe(0);
  expect(await at(1 / 3)).toBe(0);
  expect(await at(2 / 3)).toBe(Number.MIN_VALUE);
  expect(await at(1)).toBe(7);
  expect(await at(5 / 6)).toBe(Number.MIN_VALUE + 7 / 2);
});

it('reads pieces that start anywhere in their memory', async () => {
  const memory = Float64Array.of(9, 9, 1, 2, 3, 9);
  expect(await quantile(() => [memory.subarray(2, 5)], 0.5)).toBe(2);
});

it('of no number is an error', async () => {
  const nothing = quantile(() => [Float64Array.of(NaN, Infinity)], 0.5);
  await expect(nothing).rejects.toThrow(DataError);
  await expect(nothing).rejects.toThrow('expected at least one finite number ≥ 0, got none');
});
