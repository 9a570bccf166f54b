/**
 * Images and memory of the process in docs/benchmarks.md: how long training waits for images, how memory goes with
 * their number, what a process takes beyond the plan.
 */
import { disturbance, type MachineRecord } from '../harness/machine.js';
import { markdownTable, megabytes, percent } from '../harness/table.js';
import { busy, type LoadingRow } from '../loading/measure.js';
import type { MemoryCurve } from '../many-images/watch.js';
import type { Course, ProcessResults } from '../process/measure.js';

/** What `npm run bench:loading` writes. */
export interface LoadingResults {
  readonly machine: MachineRecord;
  readonly rows: readonly LoadingRow[];
}

/** What `npm run bench:many-images` writes. */
export interface ManyImagesResults {
  readonly machine: MachineRecord;
  readonly curves: readonly Omit<MemoryCurve, 'samples' | 'dataFileBytes'>[];
}

/** Each null where it was not measured. */
export function processBlock(
  loading: LoadingResults | null,
  images: ManyImagesResults | null,
  process: ProcessResults | null,
): string {
  return [
    ...(loading ? loadingPart(loading) : []),
    ...(images ? imagesPart(images) : []),
    ...(process ? processPart(process) : []),
  ].join('\n');
}

/** Share of busy time with the cache that is aimed at. */
const AIM = 0.95;
const CACHED = 'with a cache';

function loadingPart({ machine, rows }: LoadingResults): readonly string[] {
  const models = distinct(rows.map(({ model }) => model));
  const readings = distinct(rows.map(({ reading }) => reading));
  const sizes = distinct(rows.map(({ photos }) => photos));
  const head = ['model', 'photos', ...readings.map((reading) => `>${reading}`)];
  const share = ({ epochs }: LoadingRow) => busy(epochs)[1];
  const cells = models.flatMap((model) =>
    sizes.flatMap((photos) => {
      const own = rows.filter((row) => row.model === model && row.photos === photos);
      if (own.length === 0) return [];
      const cellOf = (reading: string) => own.find((row) => row.reading === reading);
      const shares = readings.map(cellOf).map((row) => (row ? percent(share(row)) : '–'));
      return [[model, photos, ...shares]];
    }),
  );
  const cached = rows.filter(({ reading }) => reading === CACHED);
  const met = cached.filter((row) => share(row) >= AIM).length;
  return [
    'How much of an epoch two training threads are busy, the rest waiting for images, validation included',
    '([`npm run bench:loading`](../bench/results/loading.md); random crops, epochs after the first; the cache holds',
    'decoded images on the disk):\n',
    ...warningOf(machine),
    markdownTable(head, cells),
    `The aim, ${percent(AIM)} with the cache, is met in ${met} of ${cached.length} rows.\n`,
  ];
}

function imagesPart({ machine, curves }: ManyImagesResults): readonly string[] {
  return [
    'Memory of `thimble train --method head` on small images',
    '([`npm run bench:many-images`](../bench/results/many-images.md)):\n',
    ...warningOf(machine),
    markdownTable(
      ['>images', '>first update', '>last update', '>peak of the process'],
      curves.map(({ images, firstBytes, lastBytes, peakBytes }) => [
        images.toLocaleString('en'),
        ...[firstBytes, lastBytes, peakBytes].map(megabytes),
      ]),
    ),
    'What is above the updates is taken before the first of them, while the folder is listed.\n',
    '![memory over the run](../bench/results/many-images.svg)\n',
  ];
}

function processPart({ machine, loaded, courses }: ProcessResults): readonly string[] {
  const more = loaded.map(({ name, bytes }, at) => {
    const before = loaded.at(at - 1)?.bytes ?? 0;
    return `${name} ${megabytes(at === 0 ? bytes : bytes - before)}`;
  });
  const rows = Object.entries(courses).map(([name, own]) => [
    name,
    megabytes(own.plannedBytes),
    residentAt(own, 'training'),
    megabytes(Math.max(...own.parts.map(({ peakBytes }) => peakBytes))),
  ]);
  return [
    'What a process takes beyond the plan ([`npm run bench:process`](../bench/results/process.md)): ' +
      `${more.join(', ')}. Batch 16:\n`,
    ...warningOf(machine),
    markdownTable(['training', '>planned', '>resident while training', '>peak'], rows),
    'Where ranks are found first, that is the peak.\n',
  ];
}

function residentAt({ parts }: Course, name: string): string {
  const part = parts.find((one) => one.name === name);
  return part ? megabytes(part.bytes) : '–';
}

function warningOf(machine: MachineRecord): readonly string[] {
  const warning = disturbance(machine);
  return warning === null ? [] : [`**${warning}**\n`];
}

function distinct(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}
