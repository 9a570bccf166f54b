/** The comparison of low-rank gradients: which setting a search chooses, and what its page says. */
import { describe, expect, it } from 'vitest';
import { plans } from '../gradients/planned.js';
import { ROWS } from '../gradients/rows.js';
import type { Store } from '../gradients/store.js';
import { resultsText } from '../gradients/table.js';
import { best, isSame, type Run } from '../harness/search.js';

const OUTCOME: Run['outcome'] = {
  accuracy: 0.5,
  steps: 10,
  msPerStep: 100,
  plannedBytes: 50e6,
  arenaBytes: 49e6,
  rssPeakBytes: 150e6,
  executor: 'native',
  executorDetail: 'avx2',
  threads: 2,
  seconds: 1,
};

/** The search of every row, with accuracies that rise up to the given choice and fall behind it. */
function searched(peak: number): Store {
  const runs = ROWS.flatMap(({ name, choices }) =>
    choices.map((choice, at): Run => {
      const accuracy = 0.9 - 0.01 * Math.abs(at - Math.min(peak, choices.length - 1));
      const key = { purpose: 'search', row: name, choice, data: 'photos', seed: 0 } as const;
      return { ...key, epochs: 3, outcome: { ...OUTCOME, accuracy } };
    }),
  );
  return { init: 'weights.safetensors', runs };
}

describe('the search', () => {
  it('chooses the best setting of a row, the first of equals, and none before it is whole', () => {
    const [row] = ROWS;
    expect(best(searched(1).runs, row)).toEqual(row.choices[1]);
    expect(best(searched(0).runs, row)).toEqual(row.choices[0]);
    const { runs } = searched(1);
    const level = runs.map((run) => ({ ...run, outcome: OUTCOME }));
    expect(best(level, row)).toEqual(row.choices[0]);
    expect(best(runs.slice(1), row)).toBeNull();
  });

  it('knows a run by purpose, row, setting, photos, seed and epochs', () => {
    const [run] = searched(0).runs;
    expect(isSame(run, run)).toBe(true);
    for (const other of [{ purpose: 'test' as const }, { seed: 1 }, { epochs: 4 }, { data: 'x' }]) {
      expect(isSame(run, { ...run, ...other })).toBe(false);
    }
    expect(isSame(run, { ...run, choice: { ...run.choice, rate: '1' } })).toBe(false);
  });
});

it('says what was chosen, what it took and what was planned', () => {
  const store = searched(1);
  const [row] = ROWS;
  const test = { purpose: 'test', row: row.name, choice: row.choices[1], data: 'photos' } as const;
  for (const [seed, accuracy] of [0.9, 0.94].entries()) {
    store.runs.push({ ...test, seed, epochs: 3, outcome: { ...OUTCOME, accuracy } });
  }
  store.runs.push({ ...test, purpose: 'time', seed: 0, epochs: 1, outcome: OUTCOME });
  const text = resultsText(store, []);
  expect(text).toMatch(
    /\| full, adamw +\| full, --lr 0.0001 +\| 92.0 % ± 2.0 \| +2 \| +50.0 MB \| +150.0 MB \| +100 \|/,
  );
  expect(text).toMatch(/\| full, adamw +\| full, --lr 0.0001 +\| +90.0 % \| chosen \|/);
  expect(text).toMatch(/33.0 % less training memory with Adam/);
});

it('plans less for a low-rank gradient than for full training, in each setting', () => {
  const all = plans();
  for (const own of all.filter(({ name }) => name === 'low-rank-gradient, adamw')) {
    const full = all.find(
      ({ name, batch, saved }) =>
        name === 'full, adamw' && batch === own.batch && saved === own.saved,
    );
    // Moments of 5.3 M weights, less 0.44 M numbers of factors and their moments.
    const less = (full?.report.peakBytes ?? 0) - own.report.peakBytes;
    expect(less).toBeGreaterThan(4 * (2 * 5.3e6 - 0.45e6));
  }
});
