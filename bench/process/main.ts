/**
 * The memory of the process beyond the plan, part by part: what Node and each part that is loaded take, and what is
 * resident while a run is trained and saved. Linux only.
 *
 *   npm run bench:process -- --data DIR [--weights FILE]
 *
 * DIR has train/ and test/ with class folders; --weights are those of vit_tiny_patch16_224.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { markdownTable, megabytes } from '../harness/table.js';
import { course, loadedParts, type Course, type Part } from './measure.js';

const { values: options } = parseArgs({
  options: { data: { type: 'string' }, weights: { type: 'string' } },
});

if (options.data === undefined || process.platform !== 'linux') {
  console.error('usage, on Linux: npm run bench:process -- --data DIR [--weights FILE]');
  process.exitCode = 2;
} else await measure(resolve(options.data), options.weights);

async function measure(data: string, weights: string | undefined): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'thimble-process-'));
  const shared = ['--epochs', '1', '--limit', '40', '--batch', '16', '--threads', '2'];
  const tiny = ['--init', resolve(weights ?? ''), ...shared];
  const cases: Readonly<Record<string, readonly string[]>> = {
    'vit-micro, 32 px, `full`': shared,
    ...(weights === undefined
      ? {}
      : {
          'ViT-Ti/16, 224 px, `wasi`': [...tiny, '--method', 'wasi'],
          'ViT-Ti/16, 224 px, `full`, smallest': [...tiny, '--saved', 'smallest'],
          'the same with two workers': [...tiny, '--saved', 'smallest', '--workers', '2'],
        }),
  };
  const loaded = loadedParts();
  const courses: Record<string, Course> = {};
  try {
    for (const [name, args] of Object.entries(cases)) {
      courses[name] = await course([
        'train',
        data,
        '--out',
        join(folder, 'run'),
        '--force',
        ...args,
      ]);
      console.log(name, courseTable(courses[name]));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const machine = await machineRecord(0);
  const sections = Object.entries(courses).map(([name, own]) => [
    `## ${name}, batch 16: ${megabytes(own.plannedBytes)} planned\n`,
    courseTable(own),
  ]);
  const text = ['## Loaded\n', loadedTable(loaded), ...sections.flat()].join('\n');
  await save('process', { machine, loaded, courses }, document('The process', machine, text));
}

function loadedTable(parts: readonly Part[]): string {
  return markdownTable(
    ['with', '>resident', '>more than before', '>of that, pages of files'],
    parts.map(({ name, bytes, fileBytes }, at) => {
      const before = at === 0 ? { bytes: 0, fileBytes: 0 } : parts[at - 1];
      const more = [bytes - before.bytes, fileBytes - before.fileBytes];
      return [name, ...[bytes, ...more].map(megabytes)];
    }),
  );
}

function courseTable({ parts, plannedBytes }: Course): string {
  return markdownTable(
    ['when', '>resident', '>of that, pages of files', '>the most so far', '>beyond the plan'],
    parts.map(({ name, bytes, fileBytes, peakBytes }) => {
      return [name, ...[bytes, fileBytes, peakBytes, peakBytes - plannedBytes].map(megabytes)];
    }),
  );
}
