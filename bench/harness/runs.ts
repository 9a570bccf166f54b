/** One run of `thimble train` as a process, and what its last JSON line says. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The fields of the last line of `thimble train --json` that the comparison needs. */
export interface Outcome {
  readonly accuracy: number;
  /** Of the validation photos; absent in older results. */
  readonly loss?: number;
  readonly steps: number;
  readonly msPerStep: number;
  readonly plannedBytes: number;
  readonly arenaBytes: number;
  readonly rssPeakBytes: number;
  readonly executor: string;
  readonly executorDetail: string;
  readonly threads: number;
  readonly seconds: number;
}

/** This file runs as bench/dist/harness/runs.js. */
const command = fileURLToPath(new URL('../../../packages/cli/dist/main.js', import.meta.url));

/**
 * Trains and resolves to the outcome. Throws Error when the command fails, and where not every photo was read: a
 * result of fewer would stand in its table as one of all.
 *
 * @param validation photos that it validates with, where that is known
 */
export async function trainOnce(
  name: string,
  settings: readonly string[],
  validation?: number,
): Promise<Outcome> {
  const child = spawn(process.execPath, [command, 'train', ...settings, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = '';
  let validated: number | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    last = line;
    const said = JSON.parse(line) as { readonly event: string; readonly validationImages?: number };
    if (said.event === 'start') validated = said.validationImages;
  }
  const parsed: unknown = last === '' ? null : JSON.parse(last);
  if (isOutcome(parsed)) {
    const found = `${String(validated)} photos, ${String(parsed.skipped)} skipped`;
    const isWhole = validation === undefined || validated === validation;
    if (parsed.skipped === 0 && isWhole) return picked(parsed);
    throw new Error(`${name}: expected ${String(validation ?? 'all')} photos, got ${found}`);
  }
  throw new Error(`${name}: expected a last line with event "done", got ${last}`);
}

function isOutcome(value: unknown): value is Outcome & { readonly skipped: number } {
  return typeof value === 'object' && value !== null && 'event' in value && value.event === 'done';
}

/** Without the rest of the line, such as the run folder, which is gone when results are read. */
function picked(outcome: Outcome): Outcome {
  const { accuracy, loss, steps, msPerStep, plannedBytes, arenaBytes, rssPeakBytes } = outcome;
  const { executor, executorDetail, threads, seconds } = outcome;
  const memory = { plannedBytes, arenaBytes, rssPeakBytes };
  const score = { accuracy, ...(loss === undefined ? {} : { loss }) };
  return { ...score, steps, msPerStep, ...memory, executor, executorDetail, threads, seconds };
}
