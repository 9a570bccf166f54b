/**
 * The null executor: places everything, computes nothing. It checks names, sizes and the contract of
 * `run`, and counts steps and floating-point operations; tests and `thimble plan` use it where only the
 * bookkeeping matters.
 */
import { encodeEntry, entryFlops, entryNamed, plannedBytes, type Program } from '../../program.js';
import {
  HostTable,
  expectIdle,
  hostArray,
  type Executor,
  type ExecutorKind,
  type HostData,
  type LoadOptions,
} from '../executor.js';

/** What a null executor has been asked to do. */
export interface Counts {
  runs: number;
  steps: number;
  flops: number;
}

export class NullExecutor implements Executor {
  readonly name = 'null';
  readonly detail = 'counts only';
  readonly threads: number;
  readonly program: Program;
  readonly arenaBytes: number;
  readonly counts: Counts = { runs: 0, steps: 0, flops: 0 };
  private readonly table: HostTable;
  private disposed = false;

  constructor(program: Program, options: LoadOptions = {}) {
    this.program = program;
    this.threads = options.threads ?? 1;
    this.arenaBytes = plannedBytes(program, this.threads);
    this.table = new HostTable(program);
    // Encoding checks that every operand has a place.
    for (const entry of program.entries) encodeEntry(program, entry);
  }

  write(name: string, data: HostData): void {
    this.table.slotFor(name, data);
  }

  async run(entry: string): Promise<void> {
    expectIdle(`run of ${entry}`, this.disposed ? 'disposed' : 'idle');
    const found = entryNamed(this.program, entry);
    this.counts.runs++;
    this.counts.steps += found.steps.length;
    this.counts.flops += entryFlops(this.program, found);
    return Promise.resolve();
  }

  read(name: string): Promise<HostData> {
    return Promise.resolve(hostArray(this.table.slot(name).type));
  }

  dispose(): Promise<void> {
    this.disposed = true;
    return Promise.resolve();
  }
}

export const nullExecutor: ExecutorKind = {
  name: 'null',
  unavailable: () => Promise.resolve(null),
  load: (program, options) => Promise.resolve(new NullExecutor(program, options)),
};
