/**
 * The training methods side by side on photos: accuracy, memory and time as a user gets them.
 *
 *   npm run bench:methods -- --init FILE --data DIR[:SIZE] [--also DIR[:SIZE]] [--epochs N] [--rows TEXT]
 *   npm run bench:methods -- --init FILE --timing DIR[:SIZE] [--rounds N] [--rows TEXT]
 *   npm run bench:methods -- --report
 *
 * DIR has train/ and test/ with class folders, SIZE is the side of the input in pixels. Every run is a process of its own with the command's
 * defaults. Results are saved after each run, and a run whose result is there is not made again, so
 * an interrupted comparison goes on where it stopped; `--fresh` forgets. Accuracy does not depend on
 * how busy the machine is; time does, so `--timing` measures it apart, in short interleaved runs.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { drawPicture } from './picture.js';
import { ROWS, type Row } from './rows.js';
import { trainOnce } from './runs.js';
import { readStore, setOf, type Run, type Store } from './store.js';
import { methodsText } from './table.js';

const { values: options } = parseArgs({
  options: {
    init: { type: 'string' },
    data: { type: 'string' },
    also: { type: 'string', multiple: true, default: [] },
    epochs: { type: 'string', default: '4' },
    batch: { type: 'string', default: '16' },
    rows: { type: 'string' },
    seeds: { type: 'string' },
    timing: { type: 'string' },
    rounds: { type: 'string', default: '2' },
    report: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
  },
});

/** The settings that every run shares. */
interface Setting {
  readonly init: string;
  readonly folder: string;
  readonly imageSize: string | null;
}

const store: Store = await readStore(options.fresh);
if (options.report) await report();
else if (options.init === undefined || (options.data ?? options.timing) === undefined) {
  console.error('usage: npm run bench:methods -- --init FILE --data DIR (or --timing DIR)');
  process.exitCode = 2;
} else if (options.timing !== undefined) await measureTime(options.init, options.timing);
else await measureAccuracy(options.init, options.data ?? '');

async function measureAccuracy(init: string, data: string): Promise<void> {
  const sets: readonly (Setting & { readonly first: boolean })[] = [
    { ...settingOf(init, data), first: true },
    ...options.also.map((text) => ({ ...settingOf(init, text), first: false })),
  ];
  const most = Math.max(...ROWS.map((row) => row.seeds));
  // The first seed of every row before the second of any: an early stop leaves whole columns.
  for (let seed = 0; seed < Math.min(most, Number(options.seeds ?? most)); seed++) {
    for (const set of sets) {
      for (const row of chosenRows()) {
        const wanted = set.first ? seed < row.seeds : row.everywhere === true && seed === 0;
        if (wanted) await runOnce(row, set, seed);
      }
    }
  }
  await report();
}

function settingOf(init: string, text: string): Setting {
  const [folder = '', imageSize = null] = text.split(':');
  return { init, folder, imageSize };
}

async function runOnce(row: Row, set: Setting, seed: number): Promise<void> {
  const { epochs } = options;
  const { imageSize } = set;
  const data = basename(set.folder);
  const key = { row: row.name, data, imageSize, seed, epochs: Number(epochs) };
  const known = store.runs.some((run) => sameKey(run, key));
  if (known) return;
  console.log(`${setOf(key)}  ${row.name}  seed ${seed}`);
  const outcome = await train(row, set, ['--epochs', epochs, '--seed', String(seed)]);
  store.runs.push({ ...key, outcome });
  await report();
}

function sameKey(run: Run, key: Omit<Run, 'outcome'>): boolean {
  const { row, seed, epochs } = key;
  return run.row === row && setOf(run) === setOf(key) && run.seed === seed && run.epochs === epochs;
}

async function measureTime(init: string, folder: string): Promise<void> {
  const set = settingOf(init, folder);
  store.timing = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const row of chosenRows()) {
      console.log(`round ${round + 1}  ${row.name}`);
      const outcome = await train(row, set, ['--epochs', '1']);
      store.timing.push({ row: row.name, round, outcome });
    }
  }
  store.timingMachine = await machineRecord();
  await report();
}

async function train(row: Row, set: Setting, more: readonly string[]) {
  const runs = await mkdtemp(join(tmpdir(), 'thimble-methods-'));
  const size = set.imageSize === null ? [] : ['--image-size', set.imageSize];
  const settings = [set.folder, '--init', set.init, '--batch', options.batch, ...size];
  try {
    return await trainOnce(row.name, [
      ...settings,
      ...row.arguments,
      ...more,
      ...['--out', join(runs, 'run')],
    ]);
  } finally {
    await rm(runs, { recursive: true, force: true });
  }
}

function chosenRows(): readonly Row[] {
  const pattern = new RegExp(options.rows ?? '', 'u');
  return ROWS.filter((row) => pattern.test(row.name));
}

async function report(): Promise<void> {
  const machine = await machineRecord();
  if (options.init !== undefined) store.init = basename(options.init);
  const text = document('Methods side by side', machine, methodsText(store));
  await save('methods', { machine, ...store }, text);
  await drawPicture(store);
}
