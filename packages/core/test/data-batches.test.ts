/** Splits, orders and batches: who trains, in which order, and what happens to the rest. */
import { describe, expect, it } from 'vitest';
import {
  epochOrder,
  evaluationBatches,
  trainingBatchCount,
  trainingBatches,
} from '../src/data/batches.js';
import { stratifiedSplit } from '../src/data/split.js';
import { ConfigError, DataError } from '../src/errors.js';

describe('stratifiedSplit', () => {
  const names = Array.from({ length: 63 }, (_, i) => `class${i % 3}/${i}.jpg`);
  const labels = names.map((_, i) => i % 3);

  it('holds back the same share of every class, by name and seed alone', () => {
    const split = stratifiedSplit(names, labels, 0.2, 7);
    expect([...split.train, ...split.validation].sort((a, b) => a - b)).toEqual(
      names.map((_, i) => i),
    );
    for (const label of [0, 1, 2]) {
      expect(split.validation.filter((i) => labels[i] === label)).toHaveLength(4); // round(0.2·21)
    }
    const backwards = [...names].reverse();
    const again = stratifiedSplit(backwards, [...labels].reverse(), 0.2, 7);
    const named = (list: readonly string[], picks: number[]) => picks.map((i) => list[i]).sort();
    expect(named(backwards, again.validation)).toEqual(named(names, split.validation));
    expect(stratifiedSplit(names, labels, 0.2, 8).validation).not.toEqual(split.validation);
  });

  it('keeps most images on their side when one is added', () => {
    const before = stratifiedSplit(names, labels, 0.2, 7).validation;
    const after = stratifiedSplit([...names, 'class0/new.jpg'], [...labels, 0], 0.2, 7).validation;
    expect(before.filter((i) => !after.includes(i)).length).toBeLessThanOrEqual(1);
  });

  it.each([
    [0.01, 2, [1, 1]],
    [0.99, 2, [1, 1]],
    [0.99, 5, [1, 4]],
    [0.5, 1, [1, 0]],
  ])('gives both sides an image when it can: share %d of %d', (share, count, expected) => {
    const few = names.slice(0, count);
    const { train, validation } = stratifiedSplit(
      few,
      few.map(() => 0),
      share,
      0,
    );
    expect([train.length, validation.length]).toEqual(expected);
  });

  describe('with copies', () => {
    /** Images 0 to 9 of one class; `contents[i]` is the image that i is a copy of. */
    const ten = names.slice(0, 10).map((_, i) => `class/${i}.jpg`);
    const split = (contents: readonly number[], share: number, seed = 0) =>
      stratifiedSplit(
        ten,
        ten.map(() => 0),
        share,
        seed,
        contents,
      );

    it('is the same split where there are none', () => {
      for (const seed of [0, 1, 2]) {
        const alone = stratifiedSplit(
          ten,
          ten.map(() => 0),
          0.3,
          seed,
        );
        expect(
          split(
            ten.map((_, i) => i),
            0.3,
            seed,
          ),
        ).toEqual(alone);
      }
    });

    it('keeps them on one side, at whatever share and seed', () => {
      const contents = [0, 0, 2, 3, 3, 3, 6, 7, 7, 9];
      for (const share of [0.1, 0.2, 0.5, 0.8]) {
        for (let seed = 0; seed < 20; seed++) {
          const { train, validation } = split(contents, share, seed);
          expect(train.length + validation.length).toBe(10);
          const trained = new Set(train.map((i) => contents[i]));
          expect(validation.filter((i) => trained.has(contents[i]))).toEqual([]);
          expect(validation.length).toBeGreaterThan(0);
          expect(validation.length).toBeLessThanOrEqual(Math.round(share * 10));
        }
      }
    });

    it('holds the fewest copies out where no image fits, and nothing where there is only one', () => {
      expect(split([0, 0, 0, 0, 0, 0, 0, 7, 7, 7], 0.2).validation).toEqual([7, 8, 9]);
      expect(split([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0.2).validation).toEqual([]);
    });
  });

  it('refuses a share outside (0, 1)', () => {
    expect(() => stratifiedSplit(names, labels, 1, 0)).toThrow(ConfigError);
  });
});

describe('epochOrder', () => {
  it('is a permutation that depends on seed and epoch', () => {
    const order = epochOrder(100, 1, 0);
    expect(Array.from(order).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
    expect(epochOrder(100, 1, 0)).toEqual(order);
    expect(epochOrder(100, 1, 1)).not.toEqual(order);
    expect(epochOrder(100, 2, 0)).not.toEqual(order);
  });

  it('is pinned', () => {
    expect(Array.from(epochOrder(10, 42, 0))).toMatchInlineSnapshot(`
      [
        0,
        7,
        8,
        9,
        4,
        6,
        5,
        2,
        1,
        3,
      ]
    `);
  });
});

describe('batches', () => {
  it('training drops the last partial batch', () => {
    const order = Uint32Array.of(5, 3, 1, 0, 2, 4, 6);
    expect(trainingBatches(order, 3)).toEqual([Uint32Array.of(5, 3, 1), Uint32Array.of(0, 2, 4)]);
  });

  it('training refuses a set smaller than one batch and says what to do', () => {
    expect(() => trainingBatchCount(7, 16)).toThrow(DataError);
    expect(() => trainingBatchCount(7, 16)).toThrow(
      'training set: expected at least one batch of 16 images, got 7 images. ' +
        'Lower the batch to 7 or less, or add images.',
    );
    expect(() => trainingBatchCount(7, 0)).toThrow(ConfigError);
  });

  it('evaluation fills the last batch and says how many rows are real', () => {
    expect(evaluationBatches(5, 3)).toEqual([
      { indices: Uint32Array.of(0, 1, 2), real: 3 },
      { indices: Uint32Array.of(3, 4, 4), real: 2 },
    ]);
    expect(evaluationBatches(1, 4)).toEqual([{ indices: Uint32Array.of(0, 0, 0, 0), real: 1 }]);
  });
});
