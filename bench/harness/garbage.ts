/**
 * Collections at the right time, as the thimble command makes them (packages/cli/src/garbage.ts): V8 lets
 * dropped array buffers wait, about 64 MB of them.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Dropped bytes that may wait. */
const LIMIT_BYTES = 8e6;

export class Garbage {
  private readonly collect: () => void;
  private waiting = 0;

  constructor() {
    setFlagsFromString('--expose-gc');
    this.collect = runInNewContext('gc') as () => void;
  }

  dropped(bytes: number): void {
    this.waiting += bytes;
    if (this.waiting >= LIMIT_BYTES) this.clear();
  }

  clear(): void {
    this.waiting = 0;
    this.collect();
  }
}
