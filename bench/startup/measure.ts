/**
 * Times until something happens in a fresh process: a program is compiled and planned; the thimble
 * command has made its first training step.
 *
 * Each sample is a pair: milliseconds on the clock, and milliseconds that the process computed on
 * all its threads, which another program on the machine disturbs less.
 */
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { numberIn } from '../harness/json-process.js';
import { THIMBLE_FLAGS } from '../harness/thimble-flags.js';

export type Sample = readonly [ms: number, cpuMs: number];

/** These files run as bench/dist/startup/*.js. */
const compileScript = fileURLToPath(new URL('./compile.js', import.meta.url));
const command = fileURLToPath(new URL('../../../packages/cli/bin/thimble.js', import.meta.url));

/** Kernel ticks of /proc/PID/stat in a second, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** compile and plan of a full training step and its evaluation, in a process of its own. */
export async function compileOnce(preset: string, batch: number): Promise<Sample> {
  const args = [...THIMBLE_FLAGS, compileScript, preset, String(batch)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const answer = JSON.parse(stdout) as Readonly<Record<string, unknown>>;
  return [numberIn(answer, 'ms'), numberIn(answer, 'cpuMs')];
}

/**
 * From the start of `thimble train` to the line of its first step. Throws Error when it ends
 * before.
 *
 * @param folder has class folders in `photos`
 */
export async function firstStep(folder: string, options: readonly string[]): Promise<Sample> {
  const out = ['--out', join(folder, 'run'), '--force', '--json'];
  const args = [...THIMBLE_FLAGS, command, 'train', join(folder, 'photos'), ...options, ...out];
  const started = performance.now();
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const gone = new Promise((resolve) => child.once('close', resolve));
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => (complaint += text.toString()));
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{"event":"step"')) continue;
    const sample: Sample = [performance.now() - started, cpuMsOf(child.pid ?? 0)];
    child.kill('SIGKILL');
    await gone;
    return sample;
  }
  throw new Error(`thimble train made no step. ${complaint}`);
}

/** NaN where the system does not say. */
function cpuMsOf(pid: number): number {
  try {
    // Behind the name in brackets: state is field 3; user and system time are fields 14 and 15.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
  } catch {
    return NaN;
  }
}
