/** The comparison's results as they grow: bench/results/methods.json. */
import type { MachineRecord } from '../harness/machine.js';
import { load } from '../harness/results.js';
import { best, runsOf, type Choice, type Run } from '../harness/search.js';
import { choiceAt, isSearched, ROWS, scaled, type Row } from './rows.js';
import { SETS, type Photos } from './sets.js';

export const NAME = 'methods';

export interface Store {
  init: string;
  batch: number;
  /** Photos of each set. */
  photos: Record<string, Pick<Photos, 'train' | 'test'>>;
  runs: Run[];
  timingMachine?: MachineRecord;
}

export async function readStore(fresh: boolean, batch: number): Promise<Store> {
  const known = fresh ? null : ((await load(NAME)) as Store | null);
  return known ?? { init: '', batch, photos: {}, runs: [] };
}

/** A setting, and the set whose search chose it; null: it is the published one. */
export interface Chosen {
  readonly choice: Choice;
  readonly from: string | null;
}

/**
 * With what a row trains on a set: the best of its search there, else that of the first set that was searched
 * for it; null before there is any.
 */
export function chosenFor(runs: readonly Run[], row: Row, set: string): Chosen | null {
  if (row.rateOf !== undefined) {
    const other = ROWS.find(({ name }) => name === row.rateOf);
    const found = other ? chosenFor(runs, other, set) : null;
    if (!found) return null;
    const rate = scaled(found.choice.rate, row.factor ?? 1);
    return { choice: choiceAt(row, rate), from: found.from };
  }
  if (!isSearched(row)) return { choice: row.choices[0], from: null };
  for (const from of [set, ...SETS.map(({ name }) => name)]) {
    const choice = best(runs, row, from);
    if (choice) return { choice, from };
  }
  return null;
}

/** The test runs of a row on a set with what was chosen for it. */
export function testsOf(store: Store, row: Row, set: string): readonly Run[] {
  const found = chosenFor(store.runs, row, set);
  if (!found) return [];
  const { method, rate } = found.choice;
  return runsOf(store.runs, 'test', row.name, set).filter(
    ({ choice }) => choice.method === method && choice.rate === rate,
  );
}

/** Memory of a row's runs on a set: of those that were timed, with the threads that a user has; else of its tests. */
export function memoryOf(store: Store, row: Row, set: string): Memory | null {
  const timed = runsOf(store.runs, 'time', row.name, set);
  const runs = timed.length > 0 ? timed : testsOf(store, row, set);
  if (runs.length === 0) return null;
  const peaks = runs.map(({ outcome }) => outcome.rssPeakBytes);
  return { plannedBytes: runs[0].outcome.plannedBytes, peakBytes: Math.max(...peaks) };
}

export interface Memory {
  readonly plannedBytes: number;
  /** Of the process. */
  readonly peakBytes: number;
}

export interface Accuracy {
  readonly mean: number;
  /** Standard error of the mean over seeds; null for one seed. */
  readonly error: number | null;
  /** Standard error of an accuracy that is counted on so many photos. */
  readonly testError: number;
  readonly seeds: number;
}

/** Null for no runs. */
export function accuracyOf(runs: readonly Run[], testPhotos: number): Accuracy | null {
  const seeds = runs.length;
  if (seeds === 0) return null;
  const values = runs.map(({ outcome }) => outcome.accuracy);
  const mean = values.reduce((sum, value) => sum + value, 0) / seeds;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    error: seeds === 1 ? null : Math.sqrt(squares / (seeds - 1) / seeds),
    testError: Math.sqrt((mean * (1 - mean)) / testPhotos),
    seeds,
  };
}
