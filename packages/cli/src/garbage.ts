/**
 * Array buffers that do not wait to be collected.
 *
 * V8 does not see what its small objects hold outside of its heap: it lets about 64 MB of dropped
 * array buffers wait, in every isolate, before it collects because of them. Whoever drops many of
 * them (decoded images, tensors on their way to or from a file) says so here.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Dropped bytes that may wait: a collection of a small heap takes 1 to 3 ms. */
const LIMIT_BYTES = 8e6;

export class Garbage {
  private readonly collect: () => void;
  private waiting = 0;

  constructor() {
    setFlagsFromString('--expose-gc');
    this.collect = runInNewContext('gc') as () => void;
  }

  /** `bytes` of array buffers have just been dropped. Returns whether they were collected. */
  dropped(bytes: number): boolean {
    this.waiting += bytes;
    if (this.waiting < LIMIT_BYTES) return false;
    this.clear();
    return true;
  }

  /** Collects at once: before a long stretch of work. */
  clear(): void {
    this.waiting = 0;
    this.collect();
  }
}
