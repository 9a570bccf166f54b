/**
 * Fine-tuning of a pretrained model on photos, one run of `thimble train` for each method: accuracy, time
 * and memory as a user gets them.
 *
 *   npm run bench:finetune -- DIR --init FILE [--epochs N] [--batch N] [--methods full,last-k=4,head]
 *
 * DIR has train/ and test/ (or val/) with class folders. Every run is a process of its own with the
 * command's defaults, one after the other; the numbers are those of its last JSON line.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { markdownTable, megabytes, number } from '../harness/table.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    init: { type: 'string' },
    epochs: { type: 'string', default: '4' },
    batch: { type: 'string', default: '16' },
    methods: { type: 'string', default: 'full,last-k=4,bias-only,head' },
  },
});

/** This file runs as bench/dist/finetune/main.js. */
const command = fileURLToPath(new URL('../../../packages/cli/dist/main.js', import.meta.url));

/** The fields of the last line of `thimble train --json` that the table needs. */
interface Outcome {
  readonly accuracy: number;
  readonly steps: number;
  readonly msPerStep: number;
  readonly plannedBytes: number;
  readonly arenaBytes: number;
  readonly rssPeakBytes: number;
  readonly executor: string;
  readonly executorDetail: string;
  readonly threads: number;
  readonly seconds: number;
  readonly run?: string | undefined;
}

const [photos] = positionals;
if (photos === undefined || options.init === undefined) {
  console.error('usage: npm run bench:finetune -- DIR --init FILE [--epochs N] [--batch N]');
  process.exitCode = 2;
} else {
  await benchmark(photos, options.init);
}

async function benchmark(folder: string, init: string): Promise<void> {
  const machine = await machineRecord();
  const runs = await mkdtemp(join(tmpdir(), 'thimble-finetune-'));
  const results: { readonly method: string; readonly outcome: Outcome }[] = [];
  try {
    for (const method of options.methods.split(',')) {
      console.log(method);
      results.push({ method, outcome: await fineTune(folder, init, method, join(runs, method)) });
    }
  } finally {
    await rm(runs, { recursive: true, force: true });
  }
  const setting =
    `${basename(init)} on ${basename(folder)}, ${options.epochs} epochs, batch ${options.batch}, ` +
    `otherwise the defaults of \`thimble train\`; one seed.\n`;
  const text = document('Fine-tuning', machine, `${setting}\n${tableOf(results)}`);
  console.log(text);
  await save('finetune', { machine, options: { ...options, init: basename(init) }, results }, text);
}

function tableOf(
  results: readonly { readonly method: string; readonly outcome: Outcome }[],
): string {
  const rows = results.map(({ method, outcome }) => [
    method,
    `${(100 * outcome.accuracy).toFixed(1)} %`,
    number(outcome.msPerStep),
    megabytes(outcome.plannedBytes),
    megabytes(outcome.arenaBytes),
    megabytes(outcome.rssPeakBytes),
    number(outcome.seconds),
    `${outcome.executor} (${outcome.executorDetail}), ${outcome.threads} threads`,
  ]);
  const titles = ['accuracy', 'ms/step', 'planned', 'arena', 'process peak', 'seconds'];
  return markdownTable(['method', ...titles.map((title) => `>${title}`), 'executor'], rows);
}

/** One run; resolves to its last JSON line. */
async function fineTune(
  folder: string,
  init: string,
  method: string,
  out: string,
): Promise<Outcome> {
  const settings = ['--epochs', options.epochs, '--batch', options.batch, '--method', method];
  const child = spawn(
    process.execPath,
    [command, 'train', folder, '--init', init, ...settings, '--out', out, '--json'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) last = line;
  const parsed: unknown = JSON.parse(last);
  // The run folder is gone when the results are read.
  if (isOutcome(parsed)) return { ...parsed, run: undefined };
  throw new Error(`${method}: expected a last line with event "done", got ${last}`);
}

function isOutcome(value: unknown): value is Outcome {
  return typeof value === 'object' && value !== null && 'event' in value && value.event === 'done';
}
