/** The commands of the comparison as processes, and what their last JSON lines say. */
import type { ForgettingScores } from '@thimble/core';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** What `thimble train` says at its end, as far as it is needed. */
export interface Trained {
  readonly accuracy: number;
  readonly seconds: number;
}

/** The same of `thimble forget`. */
export interface Forgot {
  readonly before: ForgettingScores;
  readonly after: ForgettingScores;
  readonly alpha: number;
  readonly share: number;
  /** Of importance, threshold and dampening. */
  readonly seconds: number;
  readonly images: number;
}

/** This file runs as bench/dist/forget/commands.js. */
const command = fileURLToPath(new URL('../../../packages/cli/dist/main.js', import.meta.url));

export async function train(name: string, settings: readonly string[]): Promise<Trained> {
  const { accuracy, seconds } = (await lastLine(name, ['train', ...settings])) as Trained;
  return { accuracy, seconds };
}

export async function forget(name: string, settings: readonly string[]): Promise<Forgot> {
  const last = (await lastLine(name, ['forget', ...settings])) as Forgot;
  const { before, after, alpha, share, seconds, images } = last;
  return { before, after, alpha, share, seconds, images };
}

/** The last line of a command with --json. Throws Error when the command fails. */
async function lastLine(name: string, settings: readonly string[]): Promise<unknown> {
  const child = spawn(process.execPath, [command, ...settings, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) last = line;
  const parsed: unknown = last === '' ? null : JSON.parse(last);
  const isDone =
    typeof parsed === 'object' && parsed !== null && 'event' in parsed && parsed.event === 'done';
  if (isDone) return parsed;
  throw new Error(`${name}: expected a last line with event "done", got ${last}`);
}
