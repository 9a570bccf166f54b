/** Runs the compiled command as people do: a child process on image folders made for the test. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

export const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

export interface Ended {
  /** null for a process that a signal ended at once. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface JsonLine {
  readonly event: string;
  readonly [name: string]: unknown;
}

/**
 * @param onLine called with every line of stdout and a function that sends Ctrl-C or another signal
 * @param environment variables beside those of this process
 */
export function thimble(
  args: readonly string[],
  folder: string,
  onLine?: (line: string, interrupt: (signal?: NodeJS.Signals) => void) => void,
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const { child, ended } = started(args, folder, environment);
  let stdout = '';
  let lines = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    const complete = stdout.split('\n').slice(0, -1);
    for (; lines < complete.length; lines++) {
      onLine?.(complete[lines], (signal = 'SIGINT') => child.kill(signal));
    }
  });
  return ended;
}

/** A command that runs. */
export function started(
  args: readonly string[],
  folder: string,
  environment: Readonly<Record<string, string>> = {},
): { readonly child: ChildProcessWithoutNullStreams; readonly ended: Promise<Ended> } {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: run npm run build first`);
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: folder,
    env: { ...process.env, ...environment },
  });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      said[name] += chunk.toString();
    });
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code, ...said });
    });
  });
  return { child, ended };
}

/**
 * Runs the command with nobody who reads its output.
 *
 * @param stdout `closed`: a pipe without its other end; a path: of a device that is written to
 */
export function unread(
  args: readonly string[],
  folder: string,
  stdout: string,
): Promise<Omit<Ended, 'stdout'>> {
  const descriptor = stdout === 'closed' ? 'pipe' : openSync(stdout, 'w');
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: folder,
    stdio: ['ignore', descriptor, 'pipe'],
  });
  if (typeof descriptor === 'number') closeSync(descriptor);
  child.stdout?.destroy(); // long before the command has started
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code, stderr });
    });
  });
}

/** All lines of stdout as JSON; throws when anything else is there. */
export function jsonLines(ended: Ended): readonly JsonLine[] {
  const lines = ended.stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as JsonLine);
}

export function lastLine(ended: Ended): JsonLine {
  const line = jsonLines(ended).at(-1);
  if (line) return line;
  throw new Error(`nothing on stdout; stderr: ${ended.stderr}`);
}

const COLOURS: Readonly<Record<string, string>> = {
  blue: '#2040c0',
  green: '#20a040',
  red: '#c03020',
};

/** `count` small images of each class: one colour with noise. */
export async function writeClasses(
  folder: string,
  classes: readonly string[],
  count: number,
): Promise<void> {
  for (const name of classes) {
    mkdirSync(join(folder, name), { recursive: true });
    for (let index = 0; index < count; index++) {
      await writeImage(join(folder, name, `${String(index)}.png`), COLOURS[name], index);
    }
  }
}

async function writeImage(path: string, background: string, index: number): Promise<void> {
  const size = 20 + (index % 3) * 4;
  const spot = { create: { width: 6, height: 6, channels: 3, background: '#808080' } } as const;
  await sharp({ create: { width: size, height: size, channels: 3, background } })
    .composite([{ input: spot, left: index % 12, top: (5 * index) % 12 }])
    .toFile(path);
}
