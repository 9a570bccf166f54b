/** The Markdown of the startup benchmark. */
import type { Spread } from '../harness/statistics.js';
import { markdownTable, number } from '../harness/table.js';

export interface StartupResult {
  readonly name: string;
  readonly goalMs: number | null;
  readonly ms: Spread;
  /** Computed by all threads of the process; null where the system does not say. */
  readonly cpuMs: Spread | null;
}

export function startupTable(results: readonly StartupResult[], rounds: number): string {
  const head = ['', '>ms', '>quartiles', '>computed, ms', '>goal, ms'];
  const rows = results.map(({ name, goalMs, ms, cpuMs }) => [
    name,
    number(ms.median),
    `${number(ms.low)} – ${number(ms.high)}`,
    cpuMs === null ? '' : number(cpuMs.median),
    goalMs === null ? '' : String(goalMs),
  ]);
  return [
    markdownTable(head, rows),
    `Medians of ${rounds} interleaved rounds, each sample in a fresh process with a warm disk; forty`,
    'photos of 320×240 px. "Computed" is the time of all threads together. A goal is for an idle',
    'machine. Compiled: full training with SGD and its evaluation.\n',
  ].join('\n');
}
