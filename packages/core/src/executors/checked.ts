/**
 * What all executors do the same: nothing is loaded but a program that can be run, calls come one at a time,
 * names, sizes and types fit, and a run or a read finds what it needs in memory. An executor of its own is a
 * Backend: it places bytes and runs entries.
 */
import { ExecutorError, ThimbleError } from '../errors.js';
import { entryNamed, type Program } from '../program.js';
import { programFault } from '../program-check/index.js';
import { Contents } from './contents.js';
import { HostTable, type Executor, type HostData } from './executor.js';

/** Slots and entries are indices; what is written fits the slot. No call comes during a run but `dispose`. */
export interface Backend {
  readonly name: string;
  readonly detail: string;
  readonly threads: number;
  /** Bytes really allocated for arena and scratch. */
  readonly arenaBytes: number;
  /** Replaces the contents of a slot. */
  write(slot: number, data: HostData): void;
  /** Runs the steps of an entry, outside of the calling thread where it can. */
  run(entry: number): Promise<void>;
  /** A copy of the contents of a slot. */
  read(slot: number): Promise<HostData>;
  /** Milliseconds of each step of one run; absent where the backend cannot tell. */
  profile?(entry: number): Promise<readonly number[]>;
  /** Frees memory and threads; a run under way ends or is rejected first. */
  dispose(): Promise<void>;
}

/** Opens a backend for `program`. Throws ExecutorError for one that cannot be run. */
export async function loadChecked(
  program: Program,
  open: () => Backend | Promise<Backend>,
): Promise<Executor> {
  expectSound(program);
  return new CheckedExecutor(program, await open());
}

/** Throws ExecutorError for a program that kernels could not run within its memory. */
export function expectSound(program: Program): void {
  const fault = programFault(program);
  if (fault === null) return;
  throw new ExecutorError({
    where: 'program',
    expected: 'one as compile or parseProgram returns it',
    got: fault,
    todo: 'Load it as it was compiled',
  });
}

/** What an executor is doing: calls are taken only when it is idle. */
type State = 'idle' | 'running' | 'disposed';

export class CheckedExecutor implements Executor {
  readonly name: string;
  readonly detail: string;
  readonly threads: number;
  readonly program: Program;
  readonly arenaBytes: number;
  readonly profile?: (entry: string) => Promise<readonly number[]>;
  private readonly backend: Backend;
  private readonly table: HostTable;
  private readonly contents: Contents;
  private state: State = 'idle';
  private ended: Promise<void> | null = null;

  /** @param program one that `expectSound` passed */
  constructor(program: Program, backend: Backend) {
    this.name = backend.name;
    this.detail = backend.detail;
    this.threads = backend.threads;
    this.arenaBytes = backend.arenaBytes;
    this.program = program;
    this.backend = backend;
    this.table = new HostTable(program);
    this.contents = new Contents(program);
    if (backend.profile) {
      this.profile = (entry) =>
        this.exclusively('profile', entry, async (index) => (await backend.profile?.(index)) ?? []);
    }
  }

  write(name: string, data: HostData): void {
    expectIdle(`write of ${name}`, this.state);
    const slot = this.table.indexFor(name, data);
    this.backend.write(slot, data);
    this.contents.wrote(name, slot);
  }

  sumsHold(microBatches: number): void {
    expectIdle('sums of gradients', this.state);
    this.contents.sumsHold(microBatches);
  }

  async run(entry: string): Promise<void> {
    await this.exclusively('run', entry, (index) => this.backend.run(index));
  }

  async read(name: string): Promise<HostData> {
    expectIdle(`read of ${name}`, this.state);
    const slot = this.table.index(name);
    this.contents.expectHeld(name);
    return this.backend.read(slot);
  }

  dispose(): Promise<void> {
    this.state = 'disposed';
    this.ended ??= this.backend.dispose();
    return this.ended;
  }

  /** A run that fails leaves memory half done: nothing may use it afterwards. */
  private async exclusively<T>(
    call: 'run' | 'profile',
    entry: string,
    work: (index: number) => Promise<T>,
  ): Promise<T> {
    const what = `${call} of ${entry}`;
    const index = this.program.entries.indexOf(entryNamed(this.program, entry));
    expectIdle(what, this.state);
    this.contents.expectReady(what, index);
    this.state = 'running';
    try {
      const result = await work(index);
      this.contents.ran(index);
      return result;
    } catch (error) {
      await this.dispose();
      throw error instanceof ThimbleError ? error : failedRun(what, error);
    } finally {
      this.settle();
    }
  }

  private settle(): void {
    if (this.state === 'running') this.state = 'idle';
  }
}

/** Throws ExecutorError unless `state` is idle; `what` is the call, as in `run of step`. */
function expectIdle(what: string, state: State): void {
  if (state === 'idle') return;
  const running = state === 'running';
  throw new ExecutorError({
    where: what,
    expected: 'an idle executor',
    got: running ? 'another run under way' : 'an executor that was disposed',
    todo: running ? 'Await the run first' : 'Load the program again',
  });
}

function failedRun(what: string, error: unknown): ExecutorError {
  return new ExecutorError({
    where: what,
    expected: 'a run to its end',
    got: error instanceof Error ? error.message : String(error),
    todo: 'Load the program again; if it happens again, report it with the printed program',
  });
}
