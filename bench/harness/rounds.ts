/** Interleaved measurement: A B C, A B C, … */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Rounds } from './statistics.js';

/** Something that can be timed again and again. */
export interface Contestant {
  readonly name: string;
  /** One turn: some samples, in the contestant's own unit. */
  readonly measure: () => Promise<readonly number[]>;
  /** Takes part in so many rounds only, spread evenly; default all. */
  readonly rounds?: number;
}

export interface RoundOptions {
  readonly rounds: number;
  /**
   * Pause before each turn, in milliseconds: threads of the contestant before may spin for a while
   * (OpenMP's do for up to 200 ms) and would take a core from the next one.
   */
  readonly settleMs?: number;
}

/** Samples of every contestant by round; the names must differ. */
export async function interleave(
  contestants: readonly Contestant[],
  { rounds, settleMs = 0 }: RoundOptions,
): Promise<ReadonlyMap<string, Rounds>> {
  const samples = new Map<string, (readonly number[])[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, measure, rounds: most = rounds } of contestants) {
      if (!takesPart(round, most, rounds)) {
        samples.get(name)?.push([]);
        continue;
      }
      if (settleMs > 0) await sleep(settleMs);
      samples.get(name)?.push(await measure());
    }
  }
  return samples;
}

/** Whether `round` is one of `count` spread evenly over `rounds`. */
function takesPart(round: number, count: number, rounds: number): boolean {
  const before = (index: number) => Math.ceil((index * Math.min(count, rounds)) / rounds);
  return before(round + 1) > before(round);
}
