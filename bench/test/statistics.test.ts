import { describe, expect, it } from 'vitest';
import { interleave } from '../harness/rounds.js';
import { median, pairedRatio, spread } from '../harness/statistics.js';

describe('median', () => {
  it('is the middle value, whatever the order', () => {
    expect(median([30, 10, 20])).toBe(20);
  });

  it('is the mean of the middle two for an even count', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it('refuses no samples, NaN and infinity', () => {
    expect(() => median([])).toThrow('statistics: expected finite samples, got none');
    expect(() => median([1, NaN])).toThrow('statistics: expected finite samples, got NaN');
    expect(() => median([1, Infinity])).toThrow('got Infinity');
  });
});

describe('spread', () => {
  it('gives quartiles by linear interpolation, as numpy.percentile does', () => {
    expect(spread([7, 1, 3, 2, 10])).toEqual({
      median: 3,
      low: 2,
      high: 7,
      min: 1,
      max: 10,
      count: 5,
    });
    expect(spread([1, 2, 3, 4])).toMatchObject({ low: 1.75, median: 2.5, high: 3.25 });
  });

  it('of one sample is that sample', () => {
    expect(spread([5])).toEqual({ median: 5, low: 5, high: 5, min: 5, max: 5, count: 1 });
  });
});

describe('pairedRatio', () => {
  it('is not moved by a machine that drifts: twice as slow in every round is twice as slow', () => {
    const base = [[100], [310], [90], [1000]];
    const slower = base.map(([ms]) => [2 * ms]);
    expect(pairedRatio(slower, base)).toMatchObject({ low: 2, median: 2, high: 2 });
  });

  it('takes the median within a round first, so that one hiccup does not count', () => {
    const base = [[10, 10, 500]];
    expect(pairedRatio([[20, 5, 20]], base).median).toBe(2);
  });

  it('leaves out rounds that one of them sat out', () => {
    expect(pairedRatio([[20], [], [60]], [[10], [1], [20]])).toMatchObject({ low: 2.25, count: 2 });
  });

  it('refuses different numbers of rounds', () => {
    expect(() => pairedRatio([[1]], [[1], [2]])).toThrow(
      'paired ratio: expected as many rounds on both sides, got 1 and 2',
    );
  });
});

describe('interleave', () => {
  it('lets every contestant have its turn in every round', async () => {
    const order: string[] = [];
    const contestant = (name: string) => ({
      name,
      measure: () => {
        order.push(name);
        return Promise.resolve([order.length]);
      },
    });
    const samples = await interleave([contestant('A'), contestant('B')], { rounds: 3 });
    expect(order.join(' ')).toBe('A B A B A B');
    expect(samples).toEqual(
      new Map([
        ['A', [[1], [3], [5]]],
        ['B', [[2], [4], [6]]],
      ]),
    );
  });

  it('spreads the rounds of a contestant that takes part in few', async () => {
    const contestant = (name: string, rounds?: number) => ({
      name,
      measure: () => Promise.resolve([1]),
      ...(rounds !== undefined && { rounds }),
    });
    const samples = await interleave([contestant('A'), contestant('B', 3)], { rounds: 7 });
    expect(samples.get('A')).toHaveLength(7);
    expect(samples.get('B')).toEqual([[1], [], [1], [], [1], [], []]);
  });
});
