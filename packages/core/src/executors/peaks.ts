/**
 * What the executors' peak meters share: how much work a measurement is.
 *
 * The loops are those of kernels/peak.c, compiled with the kernels: independent multiply-adds in
 * registers, and copies. So a peak is that of the instructions and threads that the kernels use.
 */
import type { PeakMeter } from './executor.js';

/**
 * Work per second of all threads, each running a loop of kernels/peak.c `repeats` times: copies of
 * `floats` floats (a multiple of 64), or multiply-adds where it is 0.
 */
export type PeakRate = (floats: number, repeats: number) => Promise<number>;

/** A measurement takes about this long. */
const TURN_SECONDS = 0.02;

/** Floats of which a thread copies a multiple; as in kernels/peak.h. */
const GRAIN = 64;

/** A meter over `rate`. It chooses amounts of work that take TURN_SECONDS and keeps them. */
export function peakMeter(
  threads: number,
  rate: PeakRate,
  dispose: () => Promise<void>,
): PeakMeter {
  const known = new Map<number, number>();
  const measured = async (floats: number, least: number) => {
    const repeats = known.get(floats) ?? (await scaled((count) => rate(floats, count), least));
    known.set(floats, repeats);
    return rate(floats, repeats);
  };
  return {
    threads,
    flops: () => measured(0, 1e5),
    copy: (bytes) => {
      const floats = bytes / 2 / Float32Array.BYTES_PER_ELEMENT / threads;
      return measured(Math.max(1, Math.floor(floats / GRAIN)) * GRAIN, 1);
    },
    dispose,
  };
}

/** How much of `least` work takes TURN_SECONDS; `run` is timed from outside. */
async function scaled(run: (work: number) => Promise<number>, least: number): Promise<number> {
  for (let work = least; ; work *= 2) {
    const started = performance.now();
    await run(work);
    if ((performance.now() - started) / 1000 >= TURN_SECONDS) return work;
  }
}
