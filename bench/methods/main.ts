/**
 * The training methods side by side on photos, each at its best rate: accuracy, memory and time as a user
 * gets them.
 *
 *   npm run bench:methods -- --init FILE --data DIR [--sets TEXT] [--rows TEXT] [--seeds N] [--searched TEXT]
 *   npm run bench:methods -- --init FILE --data DIR --timing [--rounds N] [--sets TEXT] [--rows TEXT]
 *   npm run bench:methods -- --report
 *
 * DIR has the folders of sets.ts. A row's rate is searched for on a fifth held out of train/ of the sets that
 * `--searched` matches (default: all), then the test photos are seen with each seed. Every run is a process of
 * the command as a user starts it. Results are saved after each, and what is there is not run again, so an
 * interrupted comparison goes on where it stopped; `--fresh` forgets. Accuracy does not depend on how busy the
 * machine is; time does, so `--timing` measures it apart, in short interleaved runs.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { isSame, textOf, type RunKey } from '../harness/search.js';
import { drawPicture } from './picture.js';
import { isSearched, ROWS, type Row } from './rows.js';
import { trainOnce } from '../harness/runs.js';
import { photosOf, SETS, type PhotoSet } from './sets.js';
import { chosenFor, NAME, readStore, type Store } from './store.js';
import { methodsText } from './table.js';

const { values: options } = parseArgs({
  options: {
    init: { type: 'string' },
    data: { type: 'string' },
    sets: { type: 'string', default: '' },
    rows: { type: 'string', default: '' },
    searched: { type: 'string', default: '' },
    seeds: { type: 'string', default: '3' },
    batch: { type: 'string', default: '16' },
    threads: { type: 'string', default: '2' },
    timing: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '2' },
    report: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
  },
});

const FLOWERS = SETS[0].name;

const store: Store = await readStore(options.fresh, Number(options.batch));
if (options.report) await report();
else if (options.init === undefined || options.data === undefined) {
  console.error('usage: npm run bench:methods -- --init FILE --data DIR');
  process.exitCode = 2;
} else if (options.timing) await measureTime(options.init, options.data);
else {
  await search(options.init, options.data);
  await compare(options.init, options.data);
}

async function search(init: string, data: string): Promise<void> {
  for (const set of matching(SETS, options.searched).filter(isChosenSet)) {
    for (const row of matching(ROWS, options.rows).filter(isSearched)) {
      for (const choice of row.choices) {
        const key = { purpose: 'search', ...keyOf(row, set, 0), choice } as const;
        await runOnce(init, join(folderOf(set, data), 'train'), row, set, key);
      }
    }
  }
}

async function compare(init: string, data: string): Promise<void> {
  // The first seed of every row before the second of any: an early stop leaves whole columns.
  for (let seed = 0; seed < Number(options.seeds); seed++) {
    for (const set of SETS.filter(isChosenSet)) {
      for (const row of matching(ROWS, options.rows)) {
        if (seed >= row.seeds || (row.seeds === 1 && set.name !== FLOWERS)) continue;
        await runOnce(init, folderOf(set, data), row, set, chosenKey(row, set, seed, 'test'));
      }
    }
  }
}

async function measureTime(init: string, data: string): Promise<void> {
  store.runs = store.runs.filter(({ purpose }) => purpose !== 'time');
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const set of SETS.filter(isChosenSet)) {
      for (const row of matching(ROWS, options.rows)) {
        const key = { ...chosenKey(row, set, round, 'time'), epochs: 1 };
        await runOnce(init, folderOf(set, data), row, set, key);
      }
    }
  }
  store.timingMachine = await machineRecord();
  await report();
}

function chosenKey(row: Row, set: PhotoSet, seed: number, purpose: RunKey['purpose']): RunKey {
  const chosen = chosenFor(store.runs, row, set.name);
  if (chosen) return { purpose, ...keyOf(row, set, seed), choice: chosen.choice };
  throw new Error(`${row.name}: expected a whole search on a set, let --searched match one`);
}

function keyOf(row: Row, { name, epochs }: PhotoSet, seed: number) {
  return { row: row.name, data: name, seed, epochs };
}

async function runOnce(
  init: string,
  folder: string,
  row: Row,
  set: PhotoSet,
  key: RunKey,
): Promise<void> {
  if (store.runs.some((run) => isSame(run, key))) return;
  const { purpose, choice, seed, epochs } = key;
  console.log(`${purpose}  ${set.name}  ${row.name}  ${textOf(choice)}  seed ${String(seed)}`);
  const runs = await mkdtemp(join(tmpdir(), 'thimble-methods-'));
  const size = ['--image-size', String(set.imageSize), '--batch', String(store.batch)];
  try {
    const validation = purpose === 'search' ? undefined : store.photos[set.name].test;
    const settings = [
      ...[folder, '--init', init, ...size, '--threads', options.threads, ...row.arguments],
      ...['--method', choice.method, '--lr', choice.rate],
      ...['--epochs', String(epochs), '--seed', String(seed), '--out', join(runs, 'run')],
    ];
    const outcome = await trainOnce(row.name, settings, validation);
    store.init = basename(init);
    store.runs.push({ ...key, outcome });
  } finally {
    await rm(runs, { recursive: true, force: true });
  }
  await report();
}

/** The folder of a set; its photos are counted on the way. */
function folderOf(set: PhotoSet, data: string): string {
  const { folder, train, test } = photosOf(set, data);
  store.photos[set.name] = { train, test };
  return folder;
}

function isChosenSet({ name }: PhotoSet): boolean {
  return new RegExp(options.sets, 'u').test(name);
}

function matching<T extends { readonly name: string }>(
  all: readonly T[],
  text: string,
): readonly T[] {
  const pattern = new RegExp(text, 'u');
  return all.filter(({ name }) => pattern.test(name));
}

/** Of the machine only times depend, so that a run on a busy one waits for nothing. */
async function report(): Promise<void> {
  const machine = store.timingMachine ?? (await machineRecord(0));
  const text = document('Methods side by side', machine, methodsText(store));
  await save(NAME, { machine, ...store }, text);
  await drawPicture(store);
}
