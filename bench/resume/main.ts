/**
 * Training that is killed at random moments and resumed, against training that is not; and what saving costs.
 *
 *   npm run bench:resume -- --data DIR [--init WEIGHTS] [--kills N] [--seed N]
 *
 * DIR has train/ and test/ with class folders. For each method a run is trained to its end; then others, each ended by
 * SIGKILL at a moment drawn from the whole of that time (more than once: a resumed run may be killed again), and
 * resumed until it is done. What has to be the same are the bytes of all weights and of the state. The cost of saving
 * is the time between the last event before a save and the first behind it, beside that of training.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Random } from '@thimble/core';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { markdownTable } from '../harness/table.js';

const { values: options } = parseArgs({
  options: {
    data: { type: 'string' },
    init: { type: 'string', default: 'vit-micro' },
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: '0' },
  },
});

/** Arguments of `thimble train` by the name of the row. */
const ROWS: Readonly<Record<string, readonly string[]>> = {
  full: ['--method', 'full'],
  'lora, adamw': ['--method', 'lora', '--optimizer', 'adamw'],
  'wasi, micro-batches': ['--method', 'wasi', '--micro-batches', '2'],
  'low-rank-gradient (cues)': ['--method', 'low-rank-gradient'],
};
const SHARED = ['--epochs', '3', '--save-every', '5'];
const FILES = ['model.safetensors', 'best.safetensors', 'state.safetensors'];

/** This file runs as bench/dist/resume/main.js. */
const command = fileURLToPath(new URL('../../../packages/cli/dist/main.js', import.meta.url));

interface Result {
  readonly name: string;
  /** Times that a process was killed, and runs that then ended with the same bytes. */
  readonly kills: number;
  readonly runs: number;
  readonly same: number;
}

if (options.data === undefined) {
  console.error('usage: npm run bench:resume -- --data DIR');
  process.exitCode = 2;
} else await measure(resolve(options.data), Number(options.kills));

async function measure(data: string, kills: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'thimble-resume-'));
  const random = Random.of(Number(options.seed), 'kills');
  const results: Result[] = [];
  try {
    for (const [name, settings] of Object.entries(ROWS)) {
      const args = (run: string) => {
        return ['train', data, '--init', options.init, '--out', run, ...SHARED, ...settings];
      };
      const whole = join(folder, 'whole');
      const ms = await ended(args(whole), Infinity);
      const result = { name, kills: 0, runs: 0, same: 0 };
      while (result.kills < kills) {
        const run = join(folder, 'run');
        rmSync(run, { recursive: true, force: true });
        for (let isDone = false; !isDone;) {
          const next = existsSync(join(run, 'run.json'))
            ? ['resume', run]
            : [...args(run), '--force'];
          const left = result.kills < kills ? random.uniform() * ms : Infinity;
          isDone = (await ended(next, left)) < Infinity;
          if (!isDone) result.kills++;
        }
        result.runs++;
        if (hashes(run) === hashes(whole)) result.same++;
        else console.log(`${name}: a run with other bytes`);
      }
      results.push(result);
      console.log(`${name}: ${String(result.same)} of ${String(result.runs)} runs the same`);
      rmSync(whole, { recursive: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const machine = await machineRecord(0);
  const table = markdownTable(
    ['method', '>kills', '>runs', '>with the same bytes'],
    results.map(({ name, kills: count, runs, same }) => [name, ...[count, runs, same].map(String)]),
  );
  await save('resume', { machine, results }, document('Killed and resumed', machine, table));
}

/** Milliseconds that the command took; infinite where it was killed. Throws Error where it fails by itself. */
async function ended(args: readonly string[], killAfter: number): Promise<number> {
  const started = performance.now();
  const child = spawn(process.execPath, [command, ...args, '--json'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const timer = Number.isFinite(killAfter)
    ? setTimeout(() => child.kill('SIGKILL'), killAfter)
    : null;
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((done) => {
    child.once('close', (...how) => {
      done(how);
    });
  });
  if (timer) clearTimeout(timer);
  if (signal === 'SIGKILL') return Infinity;
  if (code === 0) return performance.now() - started;
  throw new Error(`${args.join(' ')}: ended with ${String(code ?? signal)}`);
}

function hashes(run: string): string {
  const hash = createHash('sha256');
  for (const name of FILES) hash.update(readFileSync(join(run, name)));
  return hash.digest('hex');
}
