/** The results as they grow: bench/results/low-rank-gradient.json. */
import type { MachineRecord } from '../harness/machine.js';
import { load } from '../harness/results.js';
import type { Outcome } from '../methods/runs.js';
import type { Choice, Row } from './rows.js';

export const NAME = 'low-rank-gradient';

/** One training run. */
export interface Run {
  /** `search`: on photos held out of the training set; `test`: on the test photos; `time`: short. */
  readonly purpose: 'search' | 'test' | 'time';
  readonly row: string;
  readonly choice: Choice;
  readonly data: string;
  /** Of a time: the round. */
  readonly seed: number;
  readonly epochs: number;
  readonly outcome: Outcome;
}

export interface Store {
  init: string;
  runs: Run[];
  timingMachine?: MachineRecord;
}

export async function readStore(fresh: boolean): Promise<Store> {
  const known = fresh ? null : ((await load(NAME)) as Store | null);
  return known ?? { init: '', runs: [] };
}

/** The run with this key, whatever came of it. */
export function isSame(run: Run, key: Omit<Run, 'outcome'>): boolean {
  const { purpose, row, data, seed, epochs } = key;
  const { method, rate } = key.choice;
  const isChoice = run.choice.method === method && run.choice.rate === rate;
  const isSet = run.data === data && run.seed === seed && run.epochs === epochs;
  return run.purpose === purpose && run.row === row && isChoice && isSet;
}

export function runsOf(store: Store, purpose: Run['purpose'], row: string): readonly Run[] {
  return store.runs.filter((run) => run.purpose === purpose && run.row === row);
}

/** The choice with the best accuracy of the search, the first of equals; null before the search. */
export function best(store: Store, { name, choices }: Row): Choice | null {
  const accuracy = ({ method, rate }: Choice) =>
    runsOf(store, 'search', name).find(
      ({ choice }) => choice.method === method && choice.rate === rate,
    )?.outcome.accuracy;
  const tried = choices.flatMap((choice) => {
    const found = accuracy(choice);
    return found === undefined ? [] : [{ choice, found }];
  });
  if (tried.length < choices.length) return null;
  return tried.reduce((most, one) => (one.found > most.found ? one : most)).choice;
}
