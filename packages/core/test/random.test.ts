/** The generator against its published answers, and its distributions against theirs. */
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../src/errors.js';
import { logarithm, philox4x32, Random, sineCosine } from '../src/random.js';

const draw = <T>(count: number, next: () => T): T[] => Array.from({ length: count }, next);

describe('philox4x32', () => {
  // Random123's tests/kat_vectors, lines "philox4x32 10".
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('answers as published for counter %j', (counter, key, expected) => {
    const out = new Uint32Array(4);
    philox4x32(Uint32Array.from(counter), Uint32Array.from(key), out);
    expect(Array.from(out)).toEqual(expected);
  });
});

describe('Random', () => {
  it('gives the pinned start of a stream', () => {
    const random = Random.of(42, 'shuffle', 3);
    expect(draw(4, () => random.word())).toMatchInlineSnapshot(`
      [
        505230224,
        3127630292,
        735430384,
        1540876116,
      ]
    `);
    expect(draw(2, () => random.uniform())).toMatchInlineSnapshot(`
      [
        0.954176823497023,
        0.5997776405045563,
      ]
    `);
    expect(draw(2, () => random.normal())).toMatchInlineSnapshot(`
      [
        -1.6373199221629238,
        -1.361676379292213,
      ]
    `);
    expect(random.shuffle([0, 1, 2, 3, 4, 5, 6, 7])).toMatchInlineSnapshot(`
      [
        7,
        3,
        6,
        1,
        4,
        5,
        2,
        0,
      ]
    `);
  });

  it('names streams by seed and keys, without collisions between lists', () => {
    const names: [number, ...(string | number)[]][] = [
      [0],
      [1],
      [4294967296],
      [0, ''],
      [0, 0],
      [0, '0'],
      [0, 'a', 'b'],
      [0, 'ab'],
      [0, 'ab', ''],
      [0, 1, 0],
      [0, 0, 1],
      [0, 0.5],
    ];
    const firsts = names.map(([seed, ...keys]) => Random.of(seed, ...keys).word());
    expect(new Set(firsts).size).toBe(names.length);
    expect(Random.of(0, 'ab').word()).toBe(firsts[7]);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 53])('refuses seed %d', (seed) => {
    expect(() => Random.of(seed)).toThrow(ConfigError);
    expect(() => Random.of(seed)).toThrow(
      `seed: expected an integer from 0 to 2^53 - 1, got ${seed}. Choose another seed.`,
    );
  });

  it('draws uniform numbers with the moments of [0, 1)', () => {
    const random = Random.of(1, 'uniform');
    const values = draw(20_000, () => random.uniform());
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / 20_000)); // 4 sigma
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.0025);
  });

  it('draws integers below n evenly, and n that do not divide 2^32 without bias', () => {
    const random = Random.of(2, 'below');
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < 70_000; i++) counts[random.below(7)]++;
    const chiSquare = counts.reduce((sum, c) => sum + (c - 10_000) ** 2 / 10_000, 0);
    expect(chiSquare).toBeLessThan(22.5); // 99.9 % point of 6 degrees of freedom
    // n = 3·2^30: taking the word modulo n would give the lowest third twice as often.
    const third = draw(9_000, () => random.below(3 * 2 ** 30)).filter((x) => x < 2 ** 30).length;
    expect(Math.abs(third - 3_000)).toBeLessThan(4 * Math.sqrt(9_000 * (2 / 9)));
    expect(() => random.below(0)).toThrow(ConfigError);
  });

  it('draws normal numbers with the moments and tails of the normal distribution', () => {
    const values = Random.of(3, 'normal').fillNormal(new Float64Array(40_000));
    const moment = (power: number) => values.reduce((sum, x) => sum + x ** power, 0) / 40_000;
    expect(Math.abs(moment(1))).toBeLessThan(0.02);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.03);
    expect(Math.abs(moment(3))).toBeLessThan(0.08);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.2);
    const outside = values.filter((x) => Math.abs(x) > 1.959964).length / 40_000;
    expect(Math.abs(outside - 0.05)).toBeLessThan(0.005);
  });

  it('keeps truncated normals inside their bounds with the right spread', () => {
    const values = Random.of(4).fillTruncatedNormal(new Float64Array(20_000), 1, -2, 2);
    expect(values.every((x) => x >= -2 && x <= 2)).toBe(true);
    const variance = values.reduce((sum, x) => sum + x * x, 0) / values.length;
    expect(Math.abs(variance - 0.7737)).toBeLessThan(0.02); // closed form for ±2 sigma
    expect(() => Random.of(4).truncatedNormal(1, 40, 41)).toThrow(ConfigError);
  });

  it('shuffles every order of three equally often', () => {
    const random = Random.of(5, 'orders');
    const counts = new Map<string, number>();
    for (let i = 0; i < 12_000; i++) {
      const order = random.shuffle([0, 1, 2]).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 2_000)).toBeLessThan(180);
  });
});

describe('portable functions', () => {
  it('agree with the engine to a few units in the last place', () => {
    const random = Random.of(6);
    const out = new Float64Array(2);
    for (let i = 0; i < 5_000; i++) {
      const u = random.uniform();
      const x = u === 0 ? 1 : u * 2 ** -(i % 50);
      expect(Math.abs(logarithm(x) - Math.log(x))).toBeLessThanOrEqual(
        1e-15 * Math.max(1, Math.abs(Math.log(x))),
      );
      sineCosine(u, out);
      expect(Math.abs(out[0] - Math.sin(2 * Math.PI * u))).toBeLessThan(1e-15);
      expect(Math.abs(out[1] - Math.cos(2 * Math.PI * u))).toBeLessThan(1e-15);
    }
  });

  it('are exact at the quarters of the circle and at one', () => {
    const out = new Float64Array(2);
    const quarters = [0, 0.25, 0.5, 0.75].map((u) => {
      sineCosine(u, out);
      return Array.from(out, (x) => x + 0);
    });
    expect(quarters).toEqual([
      [0, 1],
      [1, 0],
      [0, -1],
      [-1, 0],
    ]);
    expect(logarithm(1)).toBe(0);
  });
});
