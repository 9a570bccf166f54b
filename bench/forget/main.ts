/**
 * Forgetting a class against never having learnt it.
 *
 *   npm run bench:forget -- --init FILE --data DIR [--data DIR …] [--image-size N] [--epochs N] [--classes N]
 *   npm run bench:forget -- --report
 *
 * DIR has train/ and test/ with class folders. For each data set one run is trained; for each of its first
 * classes it forgets in several ways (a dry run each, so that all start from the same weights), and another
 * run is trained without that class. Results are saved after each step and runs are kept in --work, so an
 * interrupted comparison goes on where it stopped; `--fresh` forgets the results.
 */
import type { ForgettingScores } from '@thimble/core';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { forget, train } from './commands.js';
import { scoreRun } from './score.js';
import { readStore, type Case, type Store } from './store.js';
import { forgetText } from './table.js';

const { values: options } = parseArgs({
  options: {
    init: { type: 'string' },
    data: { type: 'string', multiple: true, default: [] },
    'image-size': { type: 'string', default: '128' },
    epochs: { type: 'string', default: '4' },
    classes: { type: 'string', default: '2' },
    seed: { type: 'string', default: '0' },
    work: { type: 'string', default: join(tmpdir(), 'thimble-bench-forget') },
    report: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
  },
});

/** Ways to forget, by the name of their row: arguments of `thimble forget`. */
const WAYS: Readonly<Record<string, readonly string[]>> = {
  automatic: [],
  'sweep, 1 %': ['--sweep', '--budget', '0.01'],
  'label-free': ['--label-free'],
  'label-free, sweep, 1 %': ['--label-free', '--sweep', '--budget', '0.01'],
  'batches, α = 10': ['--importance', 'batch', '--alpha', '10'],
};

/** Scores of the same run by the command and by this program may differ by so much: two decoders. */
const AGREEMENT = 0.01;

const store: Store = await readStore(options.fresh);
if (options.report) await report();
else if (options.init === undefined || options.data.length === 0) {
  console.error('usage: npm run bench:forget -- --init FILE --data DIR');
  process.exitCode = 2;
} else {
  for (const data of options.data) await measure(options.init, resolve(data));
}

async function measure(init: string, data: string): Promise<void> {
  const classes = readdirSync(join(data, 'train')).sort();
  const original = join(options.work, `${basename(data)}-all`);
  const seconds = await trained(init, data, original);
  for (const forgotten of classes.slice(0, Number(options.classes))) {
    const known = caseOf(basename(data), forgotten, seconds);
    for (const [name, settings] of Object.entries(WAYS)) {
      if (name in known.ways) continue;
      console.log(`${known.data}  forgetting ${forgotten}  ${name}`);
      const wanted = [original, '--class', forgotten, '--dry-run'];
      known.ways[name] = await forget(name, [...wanted, ...settings]);
      await report();
    }
    if (known.retrained) continue;
    console.log(`${known.data}  without ${forgotten}`);
    const run = join(options.work, `${basename(data)}-without-${forgotten}`);
    const retraining = await trained(init, without(data, forgotten), run);
    known.retrained = { scores: await scoreRun(run, data, forgotten), seconds: retraining };
    checkScores(await scoreRun(original, data, forgotten), known);
    await report();
  }
}

/** The case, which is added to the store where it is new. */
function caseOf(data: string, forgotten: string, trainingSeconds: number): Case {
  const [epochs, seed] = [Number(options.epochs), Number(options.seed)];
  const known = store.cases.find(
    (each) =>
      each.data === data &&
      each.forgotten === forgotten &&
      each.epochs === epochs &&
      each.seed === seed,
  );
  if (known) return known;
  const added: Case = { data, forgotten, epochs, seed, trainingSeconds, ways: {}, retrained: null };
  store.cases.push(added);
  return added;
}

/** Trains where no whole run is kept; seconds of its epochs. */
async function trained(init: string, data: string, out: string): Promise<number> {
  const { epochs, seed } = options;
  if (keptSeconds(out) === null) {
    console.log(`training ${basename(out)}`);
    const size = ['--image-size', options['image-size']];
    const settings = [data, '--init', init, ...size, '--epochs', epochs, '--seed', seed];
    await train(basename(out), [...settings, '--out', out, '--force']);
  }
  return keptSeconds(out) ?? NaN;
}

/** Seconds of all epochs of a run; null where there is none with these settings. */
function keptSeconds(run: string): number | null {
  const file = join(run, 'run.json');
  if (!existsSync(file)) return null;
  const record = JSON.parse(readFileSync(file, 'utf8')) as {
    readonly status: string;
    readonly epochs: number;
    readonly seed: number;
    readonly history: readonly { readonly seconds: number }[];
  };
  const { status, epochs, seed, history } = record;
  const isWanted = epochs === Number(options.epochs) && seed === Number(options.seed);
  if (status !== 'done' || !isWanted) return null;
  return history.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** A folder of links to all classes but one. */
function without(data: string, forgotten: string): string {
  const folder = join(options.work, 'data', `${basename(data)}-without-${forgotten}`);
  rmSync(folder, { recursive: true, force: true });
  for (const part of ['train', 'test']) {
    mkdirSync(join(folder, part), { recursive: true });
    for (const name of readdirSync(join(data, part))) {
      if (name !== forgotten) symlinkSync(join(data, part, name), join(folder, part, name));
    }
  }
  return folder;
}

/** Throws Error where this program does not score a run as the command does. */
function checkScores(own: ForgettingScores, { ways }: Case): void {
  for (const { before } of Object.values(ways)) {
    for (const key of ['retainedAccuracy', 'forgottenAccuracy', 'attackedAccuracy'] as const) {
      const difference = Math.abs((own[key] ?? NaN) - (before[key] ?? NaN));
      if (difference <= AGREEMENT) continue;
      throw new Error(`${key}: ${String(own[key])}, where the command says ${String(before[key])}`);
    }
  }
}

async function report(): Promise<void> {
  if (options.init !== undefined) {
    store.init = basename(options.init);
    store.machine = await machineRecord();
  }
  if (store.machine === undefined) return;
  const text = document('Forgetting against training anew', store.machine, forgetText(store));
  await save('forget', store, text);
}
