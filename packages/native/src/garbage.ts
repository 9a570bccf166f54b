/**
 * Array buffers that do not wait to be collected.
 *
 * V8 does not see what its small objects hold outside of its heap: it lets about 64 MB of dropped
 * array buffers wait, in every isolate, before it collects because of them. Whoever drops many of
 * them (decoded images, tensors on their way to or from a file) says so here.
 */
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { tryAddon } from './addon.js';

/** Dropped bytes that may wait: a collection of a small heap takes 1 to 3 ms. */
const LIMIT_BYTES = 8e6;

/** Time for freeing what a collection found, and how often that is tried. */
const SWEEP_MS = 150;
const ROUNDS = 6;
const SETTLED_BYTES = 1e6;

/** Collects what V8 would let wait: array buffers that are not counted as its own memory. */
export class Garbage {
  private readonly collect: () => void;
  private readonly limitBytes: number;
  private waiting = 0;

  /** @param limitBytes dropped bytes that may wait */
  constructor(limitBytes = LIMIT_BYTES) {
    this.limitBytes = limitBytes;
    setFlagsFromString('--expose-gc');
    this.collect = runInNewContext('gc') as () => void;
  }

  /** `bytes` of array buffers have just been dropped. Returns whether they were collected. */
  dropped(bytes: number): boolean {
    this.waiting += bytes;
    if (this.waiting < this.limitBytes) return false;
    this.clear();
    return true;
  }

  /**
   * Collects until nothing more goes: array buffers are freed behind a collection, by another thread,
   * and leave holes in the heap of the C library, which are given back.
   * Returns the bytes of the process then.
   */
  async settled(): Promise<number> {
    let [before, after] = [Infinity, process.memoryUsage.rss()];
    for (let round = 0; round < ROUNDS && before - after > SETTLED_BYTES; round++) {
      this.clear();
      await setTimeout(SWEEP_MS);
      returnFreedMemory();
      [before, after] = [after, process.memoryUsage.rss()];
    }
    return after;
  }

  /** Collects at once: before a long stretch of work. What an earlier collection has freed goes to the system. */
  clear(): void {
    this.waiting = 0;
    this.collect();
    returnFreedMemory();
  }
}

/**
 * Makes the C library of this process give memory that is freed back to the system at once, where
 * it is glibc and the addon is there; returns whether it does. For programs whose memory is
 * watched: call it before threads start.
 */
export function returnFreedMemory(): boolean {
  const addon = tryAddon();
  return typeof addon !== 'string' && addon.returnFreedMemory();
}
