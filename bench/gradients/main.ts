/**
 * Training through low-rank factors of the gradient beside its neighbours: accuracy, memory, time.
 *
 *   npm run bench:gradients -- --init FILE --search DIR [--epochs N]
 *   npm run bench:gradients -- --init FILE --data DIR [--also DIR …] [--epochs N] [--seeds N]
 *   npm run bench:gradients -- --init FILE --timing DIR [--rounds N]
 *   npm run bench:gradients -- --report
 *
 * DIR has train/ and test/ with class folders. The search sees train/ only, of which a fifth is held
 * out, and chooses one setting for each row; `--data` runs that with several seeds, `--also` with one
 * on other photos. Every run is a process of the command as a user starts it, is saved when it ends,
 * and is not made again, so that an interrupted comparison goes on; `--fresh` forgets. Time counts
 * from `--timing` alone: short interleaved runs, for which the machine should be quiet.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { best, isSame, textOf, type RunKey } from '../harness/search.js';
import { trainOnce } from '../harness/runs.js';
import { plans } from './planned.js';
import { ROWS, type Row } from './rows.js';
import { NAME, readStore, type Store } from './store.js';
import { resultsText } from './table.js';

const { values: options } = parseArgs({
  options: {
    init: { type: 'string' },
    search: { type: 'string' },
    data: { type: 'string' },
    also: { type: 'string', multiple: true, default: [] },
    timing: { type: 'string' },
    epochs: { type: 'string', default: '3' },
    seeds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    rows: { type: 'string', default: '' },
    report: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
  },
});

const IMAGE_SIZE = '128';
const BATCH = '16';
const PLANNED = plans();

const store: Store = await readStore(options.fresh);
if (options.report) await report();
else if (options.init === undefined) usage();
else if (options.search !== undefined) await search(options.init, options.search);
else if (options.data !== undefined) await compare(options.init, options.data);
else if (options.timing !== undefined) await measureTime(options.init, options.timing);
else usage();

function usage(): void {
  console.error('usage: npm run bench:gradients -- --init FILE --search, --data or --timing DIR');
  process.exitCode = 2;
}

async function search(init: string, folder: string): Promise<void> {
  const data = basename(folder);
  const epochs = Number(options.epochs);
  for (const row of rows()) {
    for (const choice of row.choices) {
      const key = { purpose: 'search', row: row.name, choice, data, seed: 0, epochs } as const;
      await runOnce(init, join(folder, 'train'), row, key);
    }
  }
}

async function compare(init: string, first: string): Promise<void> {
  const epochs = Number(options.epochs);
  // The first seed of every row before the second of any: an early stop leaves whole columns.
  for (let seed = 0; seed < Number(options.seeds); seed++) {
    for (const folder of [first, ...(seed === 0 ? options.also : [])]) {
      for (const row of rows()) {
        const choice = chosen(row);
        const data = basename(folder);
        const key = { purpose: 'test', row: row.name, choice, data, seed, epochs } as const;
        await runOnce(init, folder, row, key);
      }
    }
  }
}

async function measureTime(init: string, folder: string): Promise<void> {
  store.runs = store.runs.filter(({ purpose }) => purpose !== 'time');
  const data = basename(folder);
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const row of rows()) {
      const choice = chosen(row);
      const key = { purpose: 'time', row: row.name, choice, data, seed: round, epochs: 1 } as const;
      await runOnce(init, folder, row, key);
    }
  }
  store.timingMachine = await machineRecord();
  await report();
}

function chosen(row: Row) {
  const choice = best(store.runs, row);
  if (choice) return choice;
  throw new Error(`${row.name}: expected a whole search, run --search first`);
}

async function runOnce(init: string, folder: string, row: Row, key: RunKey): Promise<void> {
  if (store.runs.some((run) => isSame(run, key))) return;
  const { purpose, choice, data, seed, epochs } = key;
  console.log(`${purpose}  ${data}  ${row.name}  ${textOf(choice)}  seed ${seed}`);
  const runs = await mkdtemp(join(tmpdir(), 'thimble-gradients-'));
  try {
    const outcome = await trainOnce(row.name, [
      ...[folder, '--init', init, '--image-size', IMAGE_SIZE, '--batch', BATCH],
      ...['--method', choice.method, '--optimizer', row.optimizer, '--lr', choice.rate],
      ...['--epochs', String(epochs), '--seed', String(seed), '--out', join(runs, 'run')],
    ]);
    store.init = basename(init);
    store.runs.push({ ...key, outcome });
  } finally {
    await rm(runs, { recursive: true, force: true });
  }
  await report();
}

function rows(): readonly Row[] {
  const pattern = new RegExp(options.rows, 'u');
  return ROWS.filter(({ name }) => pattern.test(name));
}

/** Of the machine only times depend, so that a run on a busy one waits for nothing. */
async function report(): Promise<void> {
  const machine = store.timingMachine ?? (await machineRecord(0));
  const text = document('Low-rank gradients', machine, resultsText(store, PLANNED));
  await save(NAME, { machine, ...store }, text);
}
