/** The comparison of methods: which rate a row trains with, its standard errors, what its pages say. */
import { describe, expect, it } from 'vitest';
import type { Run } from '../harness/search.js';
import { isSearched, ROWS, scaled, type Row } from '../methods/rows.js';
import { SETS } from '../methods/sets.js';
import { accuracyOf, chosenFor, memoryOf, testsOf, type Store } from '../methods/store.js';
import { methodsText } from '../methods/table.js';
import { accuracyBlock } from '../tables/accuracy.js';

const [FLOWERS, SMALL] = SETS.map(({ name }) => name);
const [FULL] = ROWS;
const OUTCOME: Run['outcome'] = {
  ...{ accuracy: 0.9, loss: 0.3, steps: 10, msPerStep: 100, seconds: 1, threads: 2 },
  ...{ plannedBytes: 50e6, arenaBytes: 49e6, rssPeakBytes: 150e6 },
  ...{ executor: 'native', executorDetail: 'avx2' },
};

function searched(row: Row, data: string, losses: readonly number[]): readonly Run[] {
  return row.choices.map((choice, at) => {
    const key = { purpose: 'search', row: row.name, choice, data, seed: 0, epochs: 3 } as const;
    return { ...key, outcome: { ...OUTCOME, loss: losses[at] } };
  });
}

function tested(
  row: Row,
  data: string,
  rate: string,
  accuracies: readonly number[],
): readonly Run[] {
  const choice = { ...row.choices[0], rate };
  return accuracies.map((accuracy, seed) => {
    const key = { purpose: 'test', row: row.name, choice, data, seed, epochs: 3 } as const;
    return { ...key, outcome: { ...OUTCOME, accuracy } };
  });
}

function rowNamed(name: string): Row {
  const row = ROWS.find((each) => each.name === name);
  if (!row) throw new Error(`no row ${name}`);
  return row;
}

describe('the rate of a row', () => {
  it('is that of the set’s own search, of equal accuracies that of the least loss', () => {
    const runs = searched(FULL, SMALL, [0.3, 0.2, 0.1, 0.4]);
    expect(chosenFor(runs, FULL, SMALL)).toEqual({ choice: FULL.choices[2], from: SMALL });
  });

  it('is taken from the first set that was searched where its own was not', () => {
    const runs = searched(FULL, FLOWERS, [0.3, 0.1, 0.2, 0.4]);
    expect(chosenFor(runs, FULL, SMALL)).toEqual({ choice: FULL.choices[1], from: FLOWERS });
    expect(chosenFor(runs.slice(1), FULL, SMALL)).toBeNull();
  });

  it('is that of the row that is varied, times its factor', () => {
    const runs = searched(rowNamed('wasi 0.8'), FLOWERS, [0.3, 0.1, 0.2, 0.4]);
    const chosen = chosenFor(runs, rowNamed('wasi 0.8, no momentum'), FLOWERS);
    expect(chosen?.choice).toEqual({ method: 'wasi=0.8', rate: '0.01' });
    expect(scaled('0.1', 3)).toBe('0.3');
  });

  it('is the published one without a search', () => {
    const row = rowNamed('wasi as published');
    expect(isSearched(row)).toBe(false);
    expect(chosenFor([], row, FLOWERS)).toEqual({ choice: row.choices[0], from: null });
    expect(row.choices[0].rate).toBe('0.05');
  });
});

it('varies rows that exist', () => {
  const names = ROWS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { rateOf } of ROWS) if (rateOf !== undefined) expect(names).toContain(rateOf);
});

describe('an accuracy', () => {
  it('has the standard error of the mean over seeds and that of the test photos', () => {
    const accuracy = accuracyOf(tested(FULL, FLOWERS, '0.001', [0.9, 0.92, 0.94]), 400);
    expect(accuracy?.mean).toBeCloseTo(0.92, 12);
    // Standard deviation 0.02, over √3; √(0.92 · 0.08 / 400).
    expect(accuracy?.error).toBeCloseTo(0.02 / Math.sqrt(3), 12);
    expect(accuracy?.testError).toBeCloseTo(Math.sqrt((0.92 * 0.08) / 400), 12);
    expect(accuracyOf(tested(FULL, FLOWERS, '0.001', [0.9]), 400)?.error).toBeNull();
    expect(accuracyOf([], 400)).toBeNull();
  });

  it('counts no runs at another rate', () => {
    const runs = [
      ...searched(FULL, FLOWERS, [0.3, 0.1, 0.2, 0.4]),
      ...tested(FULL, FLOWERS, '0.0005', [0.5]),
      ...tested(FULL, FLOWERS, '0.001', [0.9, 0.9]),
    ];
    expect(testsOf(storeOf(runs), FULL, FLOWERS)).toHaveLength(2);
  });
});

it('says accuracy, errors, rate and where it was searched', () => {
  const runs = [
    ...searched(FULL, FLOWERS, [0.3, 0.1, 0.2, 0.4]),
    ...tested(FULL, FLOWERS, '0.001', [0.9, 0.92, 0.94]),
  ];
  const text = methodsText(storeOf(runs));
  expect(text).toContain('## flowers5: 1000 photos, 400 for testing, 128 px, 3 epochs');
  expect(text).toMatch(
    /\| full +\| 0\.001 \| flowers5 +\| +92\.0 % \| +1\.2 % \| +1\.4 % \| +3 \|/u,
  );
  expect(text).toMatch(/\| full +\| full, --lr 0\.001 +\| +90\.0 % \| 0\.100 \| chosen \|/u);
  const block = accuracyBlock(storeOf(runs));
  expect(block).toMatch(/\| `full` \| +92\.0 % ± 1\.2 \| +50 MB \| +100 % \| +150 MB \|/u);
  expect(block).toContain('flowers5 1.4. Peak rates, set by set:\n`full` 0.001.');
});

function storeOf(runs: readonly Run[]): Store {
  const photos = { [FLOWERS]: { train: 1000, test: 400 } };
  return { init: 'weights.safetensors', batch: 16, photos, runs: [...runs] };
}

it('memory is that of the timed runs, the most of them, and of the tests without', () => {
  const rates = searched(FULL, FLOWERS, [0.3, 0.1, 0.2, 0.4]);
  const tests = tested(FULL, FLOWERS, FULL.choices[1].rate, [0.9]);
  const store: Store = { init: '', batch: 16, photos: {}, runs: [...rates, ...tests] };
  expect(memoryOf(store, FULL, FLOWERS)).toEqual({ plannedBytes: 50e6, peakBytes: 150e6 });
  expect(memoryOf(store, FULL, SMALL)).toBeNull();
  const timed = [160e6, 155e6].map((rssPeakBytes, seed): Run => {
    const outcome = { ...OUTCOME, plannedBytes: 51e6, rssPeakBytes };
    return { ...tests[0], purpose: 'time', seed, outcome };
  });
  const both = { ...store, runs: [...store.runs, ...timed] };
  expect(memoryOf(both, FULL, FLOWERS)).toEqual({ plannedBytes: 51e6, peakBytes: 160e6 });
});
