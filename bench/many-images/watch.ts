/** A run of `thimble train`, its memory looked at from outside. */
import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface MemoryCurve {
  readonly images: number;
  /** Share of the run's time, and resident bytes then. */
  readonly samples: readonly (readonly [time: number, bytes: number])[];
  readonly peakBytes: number;
  /** Behind the first update and the last one. */
  readonly firstBytes: number;
  readonly lastBytes: number;
  readonly dataFileBytes: number;
  readonly seconds: number;
}

const EVERY_MS = 200;
/** Samples that a curve keeps. */
const KEPT = 400;

/** This file runs as bench/dist/many-images/watch.js. */
const command = fileURLToPath(new URL('../../../packages/cli/dist/main.js', import.meta.url));

/** Throws Error where the command fails. */
export async function watchedRun(images: number, data: string, out: string): Promise<MemoryCurve> {
  const settings = ['--method', 'head', '--epochs', '1', '--threads', '2'];
  const args = ['train', data, ...settings, '--out', out, '--json'];
  const child = spawn(process.execPath, [command, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const started = performance.now();
  const all: [ms: number, bytes: number][] = [];
  let peakBytes = 0;
  const look = () => {
    const status = statusOf(child.pid ?? 0);
    if (status === null) return;
    all.push([performance.now() - started, status.resident]);
    peakBytes = Math.max(peakBytes, status.peak);
  };
  const timer = setInterval(look, EVERY_MS);
  const [first, last] = [{ bytes: 0 }, { bytes: 0 }];
  let isDone = false;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{"event":"step"')) {
      last.bytes = statusOf(child.pid ?? 0)?.resident ?? last.bytes;
      if (first.bytes === 0) first.bytes = last.bytes;
    }
    isDone ||= line.startsWith('{"event":"done"');
  }
  clearInterval(timer);
  if (!isDone) throw new Error(`thimble ${args.join(' ')}: ended without a result`);
  const ms = performance.now() - started;
  const step = Math.max(1, Math.floor(all.length / KEPT));
  return {
    images,
    samples: all.filter((_, at) => at % step === 0).map(([at, bytes]) => [at / ms, bytes]),
    ...{ peakBytes, firstBytes: first.bytes, lastBytes: last.bytes },
    dataFileBytes: statSync(join(out, 'data.json')).size,
    seconds: ms / 1000,
  };
}

/** null for a process that has ended. */
function statusOf(pid: number): { readonly resident: number; readonly peak: number } | null {
  try {
    const text = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
    const bytes = (name: string) => {
      const [, kilobytes] = new RegExp(`${name}:\\s+(\\d+) kB`).exec(text) ?? [];
      return 1024 * Number(kilobytes);
    };
    const [resident, peak] = [bytes('VmRSS'), bytes('VmHWM')];
    return Number.isFinite(resident) ? { resident, peak } : null;
  } catch {
    return null;
  }
}
