/** NaN and infinities are found wherever they are, and no finite number is taken for one. */
import { describe, expect, it } from 'vitest';
import { firstNotFinite } from '../src/finite.js';

describe('firstNotFinite', () => {
  it('finds nothing among finite numbers, however large, small or many', () => {
    const extremes = [3.4028234663852886e38, -3.4028234663852886e38, 1.4e-45, -0, 0, 1, -2.5];
    for (let length = 0; length <= extremes.length; length++) {
      expect(firstNotFinite(Float32Array.from(extremes.slice(0, length)))).toBe(-1);
    }
    expect(firstNotFinite(new Float32Array(100_003).fill(3.4e38))).toBe(-1);
    expect(firstNotFinite(Float64Array.of(Number.MAX_VALUE, -Number.MAX_VALUE))).toBe(-1);
  });

  it.each([NaN, Infinity, -Infinity])('finds the first %s at every place', (odd) => {
    for (let length = 1; length <= 9; length++) {
      for (let at = 0; at < length; at++) {
        const values = new Float32Array(length).fill(-1.5);
        values[at] = odd;
        expect(firstNotFinite(values)).toBe(at);
        values.fill(NaN, at);
        expect(firstNotFinite(Float64Array.from(values))).toBe(at);
      }
    }
    expect(firstNotFinite(Float32Array.of(1, Infinity, -Infinity))).toBe(1); // they would cancel
  });
});
