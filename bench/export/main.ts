/**
 * Exported files beside the runs that they came from: size, logits and classes on photos, and time
 * in onnxruntime-node beside our native executor.
 *
 *   npm run bench:export -- --data DIR RUN [RUN …] [--photos N] [--rounds N] [--threads N]
 *       [--dry-run]
 *
 * RUN is a run folder of thimble train, dense or factored; DIR has class folders with photos that
 * it was not trained on. Files are made by thimble export; onnxruntime has its own defaults.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { exportRun } from './files.js';
import { measureRun } from './measure.js';
import type { ExportResult } from './result.js';
import { exportTable } from './table.js';

const { values: options, positionals: runs } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: 'string' },
    photos: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '9' },
    threads: { type: 'string' },
    'dry-run': { type: 'boolean', default: false },
  },
});

if (options.data === undefined || runs.length === 0) {
  console.error('usage: npm run bench:export -- --data DIR RUN [RUN …]');
  process.exit(2);
}
const settings = {
  data: options.data,
  photos: Number(options.photos),
  rounds: Number(options.rounds),
  threads: Number(options.threads ?? availableParallelism()),
};
const machine = await machineRecord();
const folder = await mkdtemp(join(tmpdir(), 'thimble-export-'));
try {
  const results: ExportResult[] = [];
  for (const [index, run] of runs.entries()) {
    console.log(`exporting ${run}`);
    const exported = await exportRun(run, join(folder, String(index)));
    results.push(await measureRun(`run ${index + 1}`, exported, settings));
  }
  const text = document('Exported models', machine, results.map(exportTable).join('\n'));
  console.log(text);
  if (!options['dry-run']) await save('export', { machine, results }, text);
} finally {
  await rm(folder, { recursive: true, force: true });
}
