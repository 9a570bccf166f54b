/**
 * The memory of a process that trains on 1,000, 10,000 and 50,000 small images, over its whole time.
 *
 *   npm run bench:many-images -- --sheets DIR
 *
 * DIR has index.json and a sheet of tiles for each class, as shared/data/pretrain/cifar10_32 has. Tiles are written as a
 * JPEG file each; `thimble train` (the head of vit-micro, one epoch, two threads) is watched from outside: the kernel's VmRSS
 * every 200 ms and its mark of the peak. Saved are bench/results/many-images.json, .md and .svg.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { markdownTable, megabytes } from '../harness/table.js';
import { drawCurves } from './picture.js';
import { writeTiles } from './tiles.js';
import { watchedRun, type MemoryCurve } from './watch.js';

const { values: options } = parseArgs({ options: { sheets: { type: 'string' } } });

const COUNTS = [1000, 10_000, 50_000];

if (options.sheets === undefined) {
  console.error('usage: npm run bench:many-images -- --sheets DIR');
  process.exitCode = 2;
} else await measure(resolve(options.sheets));

async function measure(sheets: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'thimble-many-'));
  const machine = await machineRecord(0);
  const curves: MemoryCurve[] = [];
  try {
    for (const count of COUNTS) {
      const data = join(folder, String(count));
      await writeTiles(sheets, data, count);
      curves.push(await watchedRun(count, data, join(folder, 'run')));
      for (const path of [data, join(folder, 'run')]) rmSync(path, { recursive: true });
      console.log(table(curves.slice(-1)).split('\n')[2]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  await save('many-images', { machine, curves }, document('Many images', machine, table(curves)));
  await drawCurves(curves);
}

function table(curves: readonly MemoryCurve[]): string {
  return markdownTable(
    ['>images', '>peak of the process', '>at the first update', '>at the last', '>data.json'],
    curves.map(({ images, peakBytes, firstBytes, lastBytes, dataFileBytes }) => [
      String(images),
      ...[peakBytes, firstBytes, lastBytes, dataFileBytes].map(megabytes),
    ]),
  );
}
