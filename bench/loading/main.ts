/**
 * How busy training keeps two threads on JPEGs of several sizes: how long it waits for images, with the cache of
 * decoded images and without.
 *
 *   npm run bench:loading -- --photos DIR --weights FILE [--per-class N] [--epochs N] [--rows TEXT]
 *
 * DIR has a folder for each class. Photos are made from these (`photos.ts`). Each run has a cache of its own, empty at
 * first: its first epoch fills it, the later ones read it. What counts is the share of an epoch, validation included,
 * in which threads were not waiting for images; on a shared machine, too, both parts are slowed alike. --rows measures
 * those whose name has the text (a regular expression) and keeps the others.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord, type MachineRecord } from '../harness/machine.js';
import { document, load, save } from '../harness/results.js';
import { READINGS, timed, type LoadingRow } from './measure.js';
import { SIZES, writePhotos } from './photos.js';
import { loadingTable } from './table.js';

const { values: options } = parseArgs({
  options: {
    photos: { type: 'string' },
    weights: { type: 'string' },
    'per-class': { type: 'string', default: '20' },
    epochs: { type: 'string', default: '3' },
    rows: { type: 'string', default: '' },
  },
});

const MODELS: Readonly<Record<string, (weights: string) => readonly string[]>> = {
  'ViT-Ti/16 at 224 px, full': (weights) => ['--init', weights, '--method', 'full'],
  'ViT-Ti/16 at 224 px, head': (weights) => ['--init', weights, '--method', 'head'],
  'ViT-micro at 32 px, full': () => [],
};
const THREADS = 2;

const { photos, weights } = options;
if (photos === undefined || weights === undefined) {
  console.error('usage: npm run bench:loading -- --photos DIR --weights FILE');
  process.exitCode = 2;
} else await measure(resolve(photos), resolve(weights));

async function measure(from: string, start: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'thimble-loading-'));
  const saved = (await load('loading')) as { readonly rows: readonly LoadingRow[] } | null;
  const known = new Map(saved?.rows.map((row) => [nameOf(row), row]));
  const rows: LoadingRow[] = [];
  const wanted = new RegExp(options.rows);
  const machine = await machineRecord(0);
  try {
    for (const size of SIZES) {
      const data = join(folder, size.name);
      let isWritten = false;
      for (const [model, args] of Object.entries(MODELS)) {
        for (const [reading, how] of Object.entries(READINGS)) {
          const name = { model, photos: size.name, reading };
          if (!wanted.test(nameOf(name))) continue;
          if (!isWritten) await writePhotos(from, data, size, Number(options['per-class']));
          isWritten = true;
          const [out, cache] = [join(folder, 'run'), join(folder, 'cache')];
          const run = ['--threads', String(THREADS), '--epochs', options.epochs, '--out', out];
          const result = await timed([data, ...args(start), ...how, ...run], cache);
          for (const path of [out, cache]) rmSync(path, { recursive: true, force: true });
          rows.push({ ...name, ...result });
          console.log(loadingTable(rows.slice(-1)).split('\n')[2]);
          await store(machine, rows, known);
        }
      }
      rmSync(data, { recursive: true, force: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Saves the rows that there are, those of earlier measurements included: it takes an hour. */
async function store(
  machine: MachineRecord,
  rows: readonly LoadingRow[],
  known: ReadonlyMap<string, LoadingRow>,
): Promise<void> {
  const all = new Map([...known, ...rows.map((row) => [nameOf(row), row] as const)]);
  const names = SIZES.flatMap(({ name }) =>
    Object.keys(MODELS).flatMap((model) =>
      Object.keys(READINGS).map((reading) => nameOf({ model, photos: name, reading })),
    ),
  );
  const sorted = names.flatMap((name) => all.get(name) ?? []);
  const text = document('Waiting for images', machine, loadingTable(sorted));
  await save('loading', { machine, threads: THREADS, rows: sorted }, text);
}

function nameOf({
  model,
  photos: size,
  reading,
}: Omit<LoadingRow, 'epochs' | 'msPerStep'>): string {
  return [model, size, reading].join(', ');
}
