/** A thimble command from its start to its end, with what is resident at each thing that it says. */
import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { MachineRecord } from '../harness/machine.js';
import { THIMBLE_FLAGS } from '../harness/thimble-flags.js';
import { residentOf, type Resident } from './status.js';

/** This file runs as bench/dist/process/measure.js. */
const path = (name: string) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const command = path('packages/cli/bin/thimble.js');
const imports = path('bench/dist/process/imports.js');

export interface Part extends Resident {
  readonly name: string;
}

/** What the process has of each part that it loads, one after the other. */
export function loadedParts(): readonly Part[] {
  const modules = {
    'the library': path('packages/core/dist/index.js'),
    'the native addon': path('packages/native/dist/index.js'),
    'sharp and libvips': path('packages/cli/dist/data/loader.js'),
    'the command train': path('packages/cli/dist/commands/train.js'),
  };
  const args = [...THIMBLE_FLAGS, imports, ...Object.values(modules)];
  const lines = execFileSync(process.execPath, args, { encoding: 'utf8' }).trim().split('\n');
  const names = ['Node', ...Object.keys(modules)];
  return names.map((name, at) => ({ name, ...(JSON.parse(lines[at]) as Resident) }));
}

/** What the process is doing when it says an event, by the event; of updates, the one with this number. */
const UPDATE = 6;
const STAGES: Readonly<Record<string, string>> = {
  data: 'images listed',
  prepared: 'ranks found',
  start: 'compiled, weights loaded',
  [`step ${String(UPDATE)}`]: 'training',
  epoch: 'validated and saved',
  done: 'the end',
};

export interface Course {
  readonly parts: readonly Part[];
  readonly plannedBytes: number;
}

/** What `npm run bench:process` writes. */
export interface ProcessResults {
  readonly machine: MachineRecord;
  /** From Node to the command, each with what came before. */
  readonly loaded: readonly Part[];
  /** By the name of the run. */
  readonly courses: Readonly<Record<string, Course>>;
}

/** @param args of `thimble`, but for --json. Throws Error where it fails. */
export async function course(args: readonly string[]): Promise<Course> {
  const child = spawn(process.execPath, [...THIMBLE_FLAGS, command, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const parts: Part[] = [];
  let plannedBytes = NaN;
  let updates = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, ...fields } = JSON.parse(line) as { event: string; plannedBytes?: number };
    if (event === 'start') plannedBytes = fields.plannedBytes ?? NaN;
    if (event === 'step') updates++;
    const stage = event === 'step' ? `step ${String(updates)}` : event;
    if (!Object.hasOwn(STAGES, stage) || child.pid === undefined) continue;
    parts.push({ name: STAGES[stage], ...residentOf(child.pid) });
  }
  const code = await ended;
  if (code !== 0) throw new Error(`thimble ${args.join(' ')} ended with ${String(code)}`);
  return { parts, plannedBytes };
}
