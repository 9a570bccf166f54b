/** The comparison's results as they grow: bench/results/methods.json. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { MachineRecord } from '../harness/machine.js';
import type { Outcome } from './runs.js';

/** One training run. */
export interface Run {
  readonly row: string;
  readonly data: string;
  readonly seed: number;
  readonly epochs: number;
  /** null: the model's own. */
  readonly imageSize: string | null;
  readonly outcome: Outcome;
}

/** One short run whose time counts. */
export interface Timing {
  readonly row: string;
  readonly round: number;
  readonly outcome: Outcome;
}

export interface Store {
  init?: string;
  readonly runs: Run[];
  timing: Timing[];
  timingMachine?: MachineRecord;
}

/** This file runs as bench/dist/methods/store.js. */
const path = fileURLToPath(new URL('../../results/methods.json', import.meta.url));

export async function readStore(fresh: boolean): Promise<Store> {
  if (fresh) return { runs: [], timing: [] };
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return { runs: [], timing: [] };
  }
  const { runs, timing, init, timingMachine } = JSON.parse(text) as Store;
  return {
    runs,
    timing,
    ...(init === undefined ? {} : { init }),
    ...(timingMachine === undefined ? {} : { timingMachine }),
  };
}

/** What runs are compared within: the photos and their size. */
export function setOf({ data, imageSize }: Pick<Run, 'data' | 'imageSize'>): string {
  return imageSize === null ? data : `${data} at ${imageSize} px`;
}

/** The runs of one row on one set, by seed. */
export function runsOf(store: Store, row: string, set: string): readonly Run[] {
  return store.runs.filter((run) => run.row === row && setOf(run) === set);
}

/** The sets in the order in which they came. */
export function dataSets(store: Store): readonly string[] {
  return [...new Set(store.runs.map(setOf))];
}

export interface MeanAndSpread {
  readonly mean: number;
  /** Half of the difference between the largest and the smallest value. */
  readonly spread: number;
  readonly count: number;
}

export function accuracyOf(runs: readonly Run[]): MeanAndSpread | null {
  if (runs.length === 0) return null;
  const values = runs.map((run) => run.outcome.accuracy);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const spread = (Math.max(...values) - Math.min(...values)) / 2;
  return { mean, spread, count: values.length };
}
