/**
 * Runs of training whose settings are searched for: each row tries its choices on photos held out of the
 * training set, the best one is what the test photos see. Results grow run by run, so a comparison that
 * was interrupted goes on where it stopped.
 */
import type { Outcome } from './runs.js';

/** A setting that the search tries. */
export interface Choice {
  readonly method: string;
  /** Peak learning rate. */
  readonly rate: string;
}

/** What is searched for. */
export interface Searched {
  readonly name: string;
  readonly choices: readonly Choice[];
}

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

export type RunKey = Omit<Run, 'outcome'>;

/** Whether the run has this key, whatever came of it. */
export function isSame(run: Run, key: RunKey): boolean {
  const { purpose, choice, row, data, seed, epochs } = key;
  const isSet = run.data === data && run.seed === seed && run.epochs === epochs;
  return run.purpose === purpose && run.row === row && isChoice(run, choice) && isSet;
}

export function runsOf(
  runs: readonly Run[],
  purpose: Run['purpose'],
  row: string,
  data?: string,
): readonly Run[] {
  return runs.filter(
    (run) =>
      run.purpose === purpose && run.row === row && (data === undefined || run.data === data),
  );
}

/**
 * The choice with the best accuracy of the search, of equals that with the least loss where it is known, else
 * the first; null before the search is whole.
 *
 * @param data photos of the search; default: any
 */
export function best(
  runs: readonly Run[],
  { name, choices }: Searched,
  data?: string,
): Choice | null {
  const tried = choices.flatMap((choice) => {
    const run = runsOf(runs, 'search', name, data).find((one) => isChoice(one, choice));
    return run ? [{ choice, outcome: run.outcome }] : [];
  });
  if (tried.length < choices.length) return null;
  return tried.reduce((most, one) => (isBetter(one.outcome, most.outcome) ? one : most)).choice;
}

function isBetter(one: Outcome, other: Outcome): boolean {
  if (one.accuracy !== other.accuracy) return one.accuracy > other.accuracy;
  return (one.loss ?? NaN) < (other.loss ?? NaN);
}

function isChoice({ choice }: Run, { method, rate }: Choice): boolean {
  return choice.method === method && choice.rate === rate;
}

export function textOf({ method, rate }: Choice): string {
  return `${method}, --lr ${rate}`;
}
