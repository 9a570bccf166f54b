/** What several verbs of the library share: where work happens, and what it says of that. */
import type { ExecutorKind } from '@thimble/core';
import type { Caller, NoteEvent } from '../events/caller.js';
import { chooseExecutor, defaultThreads, workersWithinCores } from '../host/executors.js';
import type { DownloadEvent } from '../hub/progress.js';

/** What happens while weights are had. */
export type LoadingEvent = NoteEvent | DownloadEvent;

/** Where the work happens. */
export interface ExecutorOptions {
  /** `auto` (default: the fastest that this machine has), `native`, `wasm` or `reference`. */
  readonly executor?: string;
  /** Worker threads; default: one for each core. Results have the same bits for any number. */
  readonly threads?: number;
}

/** Preparing images. */
export interface WorkerOptions {
  /** Threads that prepare images, 40 MB each, one for each core at most; default 0: the calling one. */
  readonly workers?: number;
}

/** Throws UnknownNameError and ExecutorError. */
export function executorFor(
  { executor = 'auto' }: ExecutorOptions,
  caller: Caller<never>,
): Promise<ExecutorKind> {
  return chooseExecutor(executor, (text) => {
    caller.note('executor', text);
  });
}

export function threadsFor({ threads = defaultThreads() }: ExecutorOptions): number {
  return threads;
}

export function workersFor({ workers = 0 }: WorkerOptions, caller: Caller<never>): number {
  return workersWithinCores(workers, (text) => {
    caller.note('workers', text);
  });
}
