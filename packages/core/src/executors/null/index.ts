/**
 * The null executor: places everything, computes nothing. It checks names, sizes and the contract of
 * `run`, and counts steps and floating-point operations; tests and `thimble plan` use it where only the
 * bookkeeping matters.
 */
import { hostArray } from '../../ir/host.js';
import { entryFlops, plannedBytes, type Program } from '../../program.js';
import { CheckedExecutor, expectSound, type Backend } from '../checked.js';
import type { ExecutorKind, LoadOptions } from '../executor.js';

/** What a null executor has been asked to do. */
export interface Counts {
  runs: number;
  steps: number;
  flops: number;
}

/** An executor that plans and counts, and computes nothing. */
export class NullExecutor extends CheckedExecutor {
  readonly counts: Counts;

  constructor(program: Program, options: LoadOptions = {}) {
    expectSound(program);
    const counts: Counts = { runs: 0, steps: 0, flops: 0 };
    super(program, nullBackend(program, counts, options.threads ?? 1));
    this.counts = counts;
  }
}

function nullBackend(program: Program, counts: Counts, threads: number): Backend {
  return {
    name: 'null',
    detail: 'counts only',
    threads,
    arenaBytes: plannedBytes(program, threads),
    write: () => undefined,
    run: (index) => {
      const entry = program.entries[index];
      counts.runs++;
      counts.steps += entry.steps.length;
      counts.flops += entryFlops(program, entry);
      return Promise.resolve();
    },
    read: (slot) => Promise.resolve(hostArray(program.slots[slot].type)),
    dispose: () => Promise.resolve(),
  };
}

/** Loads a program that is only counted. */
export const nullExecutor: ExecutorKind = {
  name: 'null',
  unavailable: () => Promise.resolve(null),
  load: async (program, options) => Promise.resolve(new NullExecutor(program, options)),
};
