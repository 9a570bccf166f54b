/** The comparison's results as they grow: bench/results/forget.json. */
import type { ForgettingScores } from '@thimble/core';
import type { MachineRecord } from '../harness/machine.js';
import { load } from '../harness/results.js';
import type { Forgot } from './commands.js';

/** One class of one data set, forgotten in several ways and never learnt. */
export interface Case {
  readonly data: string;
  readonly forgotten: string;
  readonly epochs: number;
  readonly seed: number;
  /** Seconds of the training of the run that forgets. */
  readonly trainingSeconds: number;
  /** By the names of WAYS. */
  readonly ways: Record<string, Forgot>;
  retrained: Retrained | null;
}

/** A model that was trained without the class, from the same weights. */
export interface Retrained {
  readonly scores: ForgettingScores;
  readonly seconds: number;
}

export interface Store {
  init?: string;
  machine?: MachineRecord;
  readonly cases: Case[];
}

export async function readStore(fresh: boolean): Promise<Store> {
  const stored = fresh ? null : ((await load('forget')) as Store | null);
  return stored ?? { cases: [] };
}
