/** Selection and dampening on numbers worked out by hand, and what holds of them for any. */
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../src/errors.js';
import { Random } from '../src/random.js';
import {
  automaticShare,
  checkDampening,
  dampen,
  ratioBound,
  ratios,
  restore,
  selectedCount,
} from '../src/unlearn/dampen.js';

const WEIGHTS = [0.5, -1.2, 2, 0.3, -0.7, 1.1];
const IMPORTANCE = {
  base: Float64Array.of(1e-4, 2e-3, 0, 5e-4, 1e-3, 3e-4),
  forget: Float64Array.of(2e-3, 1.5e-2, 1e-5, 5e-3, 0, 2.9e-3),
};

describe('six weights', () => {
  it.each([
    // A ratio of exactly α (the fourth) is not above it.
    { alpha: 10, lambda: 1, after: [0.025, -1.2, 0, 0.3, -0.7, 1.1] },
    { alpha: 5, lambda: 1, after: [0.025, -0.16, 0, 0.03, -0.7, 0.11379310344827587] },
    { alpha: 10, lambda: 0.1, after: [0.0025, -1.2, 0, 0.3, -0.7, 1.1] },
    { alpha: 50, lambda: 0.1, after: [0.5, -1.2, 0, 0.3, -0.7, 1.1] },
    // λ above α: what would grow stays as it is.
    { alpha: 5, lambda: 8, after: [0.2, -1.2, 0, 0.24, -0.7, 0.9103448275862068] },
    { alpha: 1e300, lambda: 1, after: [0.5, -1.2, 0, 0.3, -0.7, 1.1] },
  ])('α = $alpha, λ = $lambda', ({ alpha, lambda, after }) => {
    const values = Float64Array.from(WEIGHTS);
    const change = dampen(values, IMPORTANCE, { alpha, lambda });
    values.forEach((value, index) => {
      expect(Math.abs(value - after[index])).toBeLessThan(1e-15);
    });
    expect(change.indices.length).toBe(selectedCount(IMPORTANCE, alpha));
  });

  it('says which were changed and what they were', () => {
    const values = Float32Array.from(WEIGHTS);
    const { indices, before } = dampen(values, IMPORTANCE, { alpha: 10, lambda: 1 });
    expect([...indices]).toEqual([0, 2]);
    expect(before).toEqual(Float32Array.of(0.5, 2));
  });

  it('has ratios without end where only the images to forget need a weight', () => {
    const [a, b, c, d, e] = ratios(IMPORTANCE);
    expect([a, b, d].map((ratio) => Math.round(ratio * 1e9) / 1e9)).toEqual([20, 7.5, 10]);
    expect([c, e]).toEqual([Infinity, 0]);
    expect(ratios({ forget: Float64Array.of(0), base: Float64Array.of(0) })).toEqual(
      Float64Array.of(NaN),
    );
  });
});

it('restores every bit', () => {
  const random = Random.of(4, 'dampen');
  const fill = () => random.fillNormal(new Float32Array(4096)).map((x) => x * x);
  const importance = { forget: fill(), base: fill() };
  const before = random.fillNormal(new Float32Array(4096));
  before[7] = -0;
  const values = before.slice();
  const change = dampen(values, importance, { alpha: 0.5, lambda: 0.3 });
  expect(change.indices.length).toBeGreaterThan(1000);
  expect(values).not.toEqual(before);
  restore(values, change);
  expect(new Uint32Array(values.buffer)).toEqual(new Uint32Array(before.buffer));
});

it('selects all of a larger α with a smaller one, and does the same to it', () => {
  const random = Random.of(5, 'dampen');
  const fill = () => random.fillNormal(new Float32Array(500)).map((x) => x * x);
  const importance = { forget: fill(), base: fill() };
  const values = random.fillNormal(new Float32Array(500));
  const [few, many] = [values.slice(), values.slice()];
  const strict = dampen(few, importance, { alpha: 8, lambda: 1 });
  const wide = dampen(many, importance, { alpha: 2, lambda: 1 });
  expect(strict.indices.length).toBeLessThan(wide.indices.length);
  for (const index of strict.indices) expect(many[index]).toBe(few[index]);
});

it('knows the automatic share and the largest ratio of single images', () => {
  expect(automaticShare(1, 100)).toBeCloseTo(1 - 0.0069314718055994529, 15);
  expect(automaticShare(20, 100)).toBeCloseTo(1 - 0.03044522437723423, 15);
  expect(ratioBound(100, 1000)).toBe(10);
});

it.each([
  [{ alpha: 0, lambda: 1 }, 'alpha: expected a finite number > 0, got 0'],
  [{ alpha: NaN, lambda: 1 }, 'alpha: expected a finite number > 0, got NaN'],
  [{ alpha: 1, lambda: -1 }, 'lambda: expected a finite number > 0, got -1'],
])('refuses %j', (settings, text) => {
  expect(() => {
    checkDampening(settings);
  }).toThrow(ConfigError);
  expect(() => {
    checkDampening(settings);
  }).toThrow(text);
});
