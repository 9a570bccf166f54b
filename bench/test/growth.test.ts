import { describe, expect, it } from 'vitest';
import { AXES, axisPoints, THEORY } from '../growth/cases.js';
import { evaluate, localExponent, polynomialFit } from '../growth/fit.js';
import type { GrowthPoint } from '../growth/measure.js';
import { theoryLine } from '../growth/picture.js';
import { growthText } from '../growth/table.js';

const sampled = (xs: readonly number[], y: (x: number) => number) =>
  xs.map((x) => ({ x, y: y(x) }));

describe('polynomialFit', () => {
  it('finds the line through points on a line', () => {
    const { coefficients, r2 } = polynomialFit(
      sampled([2, 4, 8, 24], (x) => 3 + 0.5 * x),
      1,
    );
    expect(coefficients[0]).toBeCloseTo(3, 9);
    expect(coefficients[1]).toBeCloseTo(0.5, 9);
    expect(r2).toBeCloseTo(1, 12);
  });

  it('finds a parabola, and says how much of it a line misses', () => {
    const points = sampled([64, 96, 128, 192, 256], (x) => 5 + 2 * x + 0.25 * x ** 2);
    const { coefficients, r2 } = polynomialFit(points, 2);
    [5, 2, 0.25].forEach((value, i) => expect(coefficients[i]).toBeCloseTo(value, 6));
    expect(r2).toBeCloseTo(1, 12);
    expect(polynomialFit(points, 1).r2).toBeLessThan(0.98);
  });

  it('is the least-squares line of numpy.polyfit for points beside one', () => {
    const points = [
      { x: 1, y: 1 },
      { x: 2, y: 3 },
      { x: 3, y: 2 },
      { x: 4, y: 5 },
    ];
    const { coefficients, r2 } = polynomialFit(points, 1);
    expect(coefficients[0]).toBeCloseTo(0, 9);
    expect(coefficients[1]).toBeCloseTo(1.1, 9);
    expect(r2).toBeCloseTo(1 - 2.7 / 8.75, 9);
  });

  it('refuses too few different x', () => {
    expect(() => polynomialFit([{ x: 1, y: 1 }], 1)).toThrow(
      'fit: expected more than 1 different x, got 1',
    );
  });
});

describe('localExponent', () => {
  it('is the power between the last two points', () => {
    expect(localExponent(sampled([1, 2, 4], (x) => 7 * x ** 2))).toBeCloseTo(2, 12);
    expect(localExponent(sampled([1, 8, 16], (x) => 8 + x))).toBeCloseTo(Math.log2(1.5), 12);
    expect(() => localExponent([{ x: 1, y: 1 }])).toThrow('exponent: expected two points, got 1');
  });
});

describe('axisPoints', () => {
  it('varies one size and has the base on every axis', () => {
    const points = axisPoints();
    for (const axis of AXES) {
      const own = points.filter((point) => point.axis === axis).map(({ x }) => x);
      expect(own).toEqual([...own].sort((a, b) => a - b));
      expect(own).toContain({ batch: 8, tokens: 65, width: 128, depth: 6 }[axis]);
    }
    const keys = new Set(points.map((point) => JSON.stringify(point.case)));
    expect(keys.size).toBe(points.length - (AXES.length - 1));
  });
});

/** ms = x, operations = 10⁹ x, 2 + x MB. */
const POINTS: readonly GrowthPoint[] = AXES.flatMap((axis) =>
  [1, 2, 4, 8].map((x) => ({
    ...{ axis, x, method: 'full', flops: 1e9 * x },
    ms: { median: x, low: x, high: x, min: x, max: x, count: 1 },
    plannedBytes: 2e6 + 1e6 * x,
    arenaBytes: 1e6 + 1e6 * x,
  })),
);

describe('growthText', () => {
  const text = growthText({ executor: 'native', threads: 2, rounds: 9, points: POINTS });
  const lines = text.replaceAll(/ +/g, ' ').split('\n');

  it('shows the points of each axis under what theory says', () => {
    expect(lines).toContain('## Tokens N');
    expect(lines).toContain(`Theory. Time: ${THEORY.tokens.time}. Bytes: ${THEORY.tokens.bytes}.`);
    expect(lines).toContain('| full | 8 | 8.00 | 8.00 – 8.00 | 8.00 | 1000 | 10.0 MB | 9.0 MB |');
  });

  it('shows fits and exponents of time, operations and bytes', () => {
    expect(lines).toContain(
      '| batch | full | 0.000 + 1.00·x | 1.0000 | 1.00 | 1.00 | 2.00 + 1.00·x | 1.0000 | 0.74 |',
    );
    expect(lines).toContain(
      '| width | full | 0.000 + 1.00·x | 1.0000 (1.0000) | 1.00 | 1.00 | ' +
        '2.00 + 1.00·x | 1.0000 (1.0000) | 0.74 |',
    );
  });
});

describe('theoryLine', () => {
  it('is the operations at the median speed, and the bytes by their degree', () => {
    const own = POINTS.filter(({ axis }) => axis === 'depth');
    const time = theoryLine('depth', own, 'ms');
    expect([time[0].x, time[time.length - 1].x]).toEqual([1, 8]);
    for (const { x, y } of time) expect(y).toBeCloseTo(x, 6);
    for (const { x, y } of theoryLine('depth', own, 'bytes')) {
      expect(y).toBeCloseTo(evaluate([2, 1], x), 6);
    }
  });
});
