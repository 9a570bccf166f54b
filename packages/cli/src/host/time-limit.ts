/**
 * A time after which work is asked to stop at its next good place: whoever does the work says when it is there, so
 * that some of it is done however short the time.
 */
export class TimeLimit {
  private readonly controller = new AbortController();
  private readonly ends: number;

  /** @param ms from now on; undefined: no limit */
  constructor(ms: number | undefined) {
    this.ends = performance.now() + (ms ?? Infinity);
  }

  /** Aborted once `check` has found the time used up. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  check(): void {
    if (performance.now() >= this.ends) this.controller.abort();
  }
}
