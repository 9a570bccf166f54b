/** What several verbs of the library share: where work happens, and what it says of that. */
import type { ExecutorKind } from '@thimble/core';
import { userCache, type CacheSettings } from '../data/image-cache.js';
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

/** What a run does while it trains, beside training. */
export interface KeepingOptions {
  /** Milliseconds of training after which the run stops, saved, to be resumed; default: none. */
  readonly time?: number;
  /** Updates after which a run is saved within an epoch too; default: about every five minutes. */
  readonly saveEvery?: number;
  /** Epochs after which a whole copy of the run is kept in its checkpoints/; default: never, or as before. */
  readonly keepEvery?: number;
  /**
   * Bytes of the cache of decoded, resized images in the user's cache folder, for later epochs and runs; false: none.
   * Default 2 GB.
   */
  readonly cache?: number | false;
}

/** Some 4000 photos for crops at 224 px, or 13,000 without. */
export const CACHE_BYTES = 2e9;

export function cacheFor({ cache = CACHE_BYTES }: KeepingOptions): CacheSettings | null {
  return userCache(cache, process.env);
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
