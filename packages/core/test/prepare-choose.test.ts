/** The pure parts of prepare: one option per layer under a budget, and ranks from spectra. */
import { describe, expect, it } from 'vitest';
import { BudgetError } from '../src/errors.js';
import { choose, leastBytes, type Option } from '../src/prepare/choose.js';
import {
  layerBytes,
  lostShare,
  minimumBytes,
  plainRanks,
  plainRanksForBytes,
  rankAt,
  rankBytes,
  ranksForBytes,
  type LayerSpectrum,
} from '../src/prepare/spectra.js';
import { Random } from '../src/random.js';

/** Every combination of one option per layer; the least loss within the budget. */
function bruteForce(layers: readonly (readonly Option[])[], budget: number): number {
  let best = Infinity;
  const visit = (layer: number, bytes: number, loss: number): void => {
    if (bytes > budget) return;
    if (layer === layers.length) {
      best = Math.min(best, loss);
      return;
    }
    for (const option of layers[layer]) visit(layer + 1, bytes + option.bytes, loss + option.loss);
  };
  visit(0, 0, 0);
  return best;
}

function totals(layers: readonly (readonly Option[])[], chosen: readonly number[]) {
  const picked = layers.map((options, layer) => options[chosen[layer]]);
  return {
    bytes: picked.reduce((sum, { bytes }) => sum + bytes, 0),
    loss: picked.reduce((sum, { loss }) => sum + loss, 0),
  };
}

/** `count` layers with `options` options: more bytes, usually less loss. */
function randomLayers(seed: number, count: number, options: number, unit: number) {
  const random = Random.of(seed, 'layers');
  return Array.from({ length: count }, () => {
    let bytes = 0;
    return Array.from({ length: options }, (_, index) => {
      bytes += unit * (1 + Math.floor(random.uniform() * 40));
      return { bytes, loss: (options - index) * (0.5 + random.uniform()) };
    });
  });
}

describe('choose', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('equals brute force on 4 layers × 6 options (%i)', (seed) => {
    const layers = randomLayers(seed, 4, 6, 4);
    const least = leastBytes(layers);
    for (const budget of [least, least + 17, least + 150, least + 400, 1e9]) {
      const { bytes, loss } = totals(layers, choose(layers, budget, 'cores'));
      expect(bytes).toBeLessThanOrEqual(budget);
      expect(loss).toBeCloseTo(bruteForce(layers, budget), 12);
    }
  });

  it('stays within the budget and near the best where bytes do not fit the buckets', () => {
    const layers = randomLayers(9, 6, 6, 100_003).map((options) =>
      options.map((option, index) => ({ ...option, bytes: option.bytes + index * 7 })),
    );
    const budget = leastBytes(layers) + 12_345_678;
    const { bytes, loss } = totals(layers, choose(layers, budget, 'cores'));
    expect(bytes).toBeLessThanOrEqual(budget);
    expect(loss).toBeLessThanOrEqual(1.001 * bruteForce(layers, budget));
  });

  it('names the minimum when the budget is below it', () => {
    const layers = [[{ bytes: 800, loss: 1 }], [{ bytes: 400, loss: 1 }]];
    expect(() => choose(layers, 1000, 'Tucker cores and factors')).toThrow(
      new BudgetError({
        where: 'budget of Tucker cores and factors',
        expected: 'at least 0.00 MB (1200 bytes) for 2 layers at their smallest ranks',
        got: '0.00 MB (1000 bytes)',
        todo: 'Raise it to 1200 bytes or more, or factor fewer layers',
      }).message,
    );
  });
});

/** A falling spectrum: λ_j = scale · decay^j. */
function spectrum(outputs: number, inputs: number, decay: number, scale = 1): LayerSpectrum {
  const energies = Float64Array.from(
    { length: Math.min(outputs, inputs) },
    (_, j) => scale * decay ** j,
  );
  return { weight: `w${String(outputs)}x${String(inputs)}`, outputs, inputs, energies };
}

describe('ranks', () => {
  it('takes the smallest rank that reaches the share', () => {
    expect(rankAt([4, 3, 2, 1], 0.4)).toBe(1);
    expect(rankAt([4, 3, 2, 1], 0.41)).toBe(2);
    expect(rankAt([4, 3, 2, 1], 0.9)).toBe(3);
    expect(rankAt([4, 3, 2, 1], 0.91)).toBe(4);
  });

  it('is the full rank at ε = 1, though rounded sums may fall short or arrive early', () => {
    const energies = Float64Array.from({ length: 10 }, () => 0.1);
    let sum = 0;
    for (const energy of energies) sum += energy / 1;
    expect(sum).toBeLessThan(1);
    expect(rankAt(energies, 1)).toBe(10);
    expect(rankAt([1, 1e-30, 1e-30], 1)).toBe(3);
  });

  it('keeps a layer dense where factors are no smaller', () => {
    // K (I + O) ≥ O I from K = 8 for 16 × 16.
    const layers = [spectrum(16, 16, 0.99), spectrum(16, 16, 0.2)];
    expect(plainRanks(layers, 0.9)).toEqual([null, 2]);
    expect(rankBytes(layers, [null, 2])).toBe(4 * (16 * 16 + 2 * 32));
  });

  it('finds the plain ranks of the largest ε that fits', () => {
    const layers = [spectrum(32, 64, 0.8), spectrum(64, 32, 0.95), spectrum(32, 32, 0.9)];
    for (const epsilon of [0.5, 0.7, 0.9]) {
      const ranks = plainRanks(layers, epsilon);
      expect(plainRanksForBytes(layers, rankBytes(layers, ranks))).toEqual(ranks);
    }
    expect(plainRanksForBytes(layers, 1e9)).toEqual([null, null, null]);
    const least = 4 * (96 + 96 + 64);
    expect(plainRanksForBytes(layers, least)).toEqual([1, 1, 1]);
    expect(() => plainRanksForBytes(layers, least - 1)).toThrow(BudgetError);
  });

  it.each([1, 2, 3, 4])('spends a budget as brute force does (%i)', (seed) => {
    const random = Random.of(seed, 'spectra');
    const layers = [
      spectrum(16, 48, 0.5 + 0.5 * random.uniform(), 1),
      spectrum(48, 16, 0.5 + 0.5 * random.uniform(), 3),
      spectrum(16, 16, 0.5 + 0.5 * random.uniform(), 2),
    ];
    const options = layers.map((layer) =>
      [1, 2, 4, 6, 8, 10, 12, 14, null]
        .filter((rank) => rank === null || layerBytes(layer, rank) < layerBytes(layer, null))
        .map((rank) => ({
          bytes: layerBytes(layer, rank),
          loss:
            rank === null
              ? 0
              : Array.from(layer.energies)
                  .slice(rank)
                  .reduce((a, b) => a + b, 0),
        })),
    );
    expect(minimumBytes(layers)).toBe(leastBytes(options));
    for (const bytes of [700, 1280, 2000, 3000, 5000, 8000]) {
      const ranks = ranksForBytes(layers, bytes, 2);
      expect(rankBytes(layers, ranks)).toBeLessThanOrEqual(bytes);
      const lost = layers.reduce((sum, layer, index) => {
        const total =
          layer.energies[0] === 0 ? 0 : Array.from(layer.energies).reduce((a, b) => a + b);
        return sum + total * lostShare(layer, ranks[index]);
      }, 0);
      expect(lost).toBeCloseTo(bruteForce(options, bytes), 9);
      for (const rank of ranks) expect(rank === 1 || (rank ?? 0) % 2 === 0).toBe(true);
    }
  });

  it('never loses more energy than the plain rule at the same bytes', () => {
    const layers = [
      spectrum(192, 192, 0.98, 1),
      spectrum(768, 192, 0.99, 20),
      spectrum(192, 768, 0.97, 5),
    ];
    const plain = plainRanks(layers, 0.8);
    const budget = rankBytes(layers, plain);
    const energy = (ranks: readonly (number | null)[]) =>
      layers.reduce(
        (sum, layer, index) =>
          sum + lostShare(layer, ranks[index]) * Array.from(layer.energies).reduce((a, b) => a + b),
        0,
      );
    expect(energy(ranksForBytes(layers, budget, 1))).toBeLessThanOrEqual(energy(plain));
  });
});
