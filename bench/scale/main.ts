/**
 * WASI at the scale of a ViT-B/32: memory and time of a training step, and of inference from factors,
 * beside full training here and in PyTorch.
 *
 *   npm run bench:scale -- [--batch 16|128] [--rounds N] [--threads N] [--rows TEXT] [--dry-run]
 *
 * Every contestant is a process of its own that prepares (decomposes the dense weights), trains and then
 * infers; its memory is the process's peak until the last training step, preparing included. Weights
 * have a pretrained-like spectrum (spectrum.ts), images are noise. THIMBLE_PEER_PYTHON names a Python
 * with PyTorch.
 */
import { modelConfig, writeSafetensors } from '@thimble/core';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { SCALE_CASES } from './cases.js';
import { measureScale, type ScaleResult } from './measure.js';
import { spectralWeights } from './spectrum.js';
import { scaleTable } from './table.js';

const { values: options } = parseArgs({
  options: {
    batch: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string' },
    rows: { type: 'string', default: '' },
    'dry-run': { type: 'boolean', default: false },
  },
});

const MODEL = 'vit-base-32';
const machine = await machineRecord();
const folder = await mkdtemp(join(tmpdir(), 'thimble-scale-'));
try {
  const weights = join(folder, 'weights.safetensors');
  await writeFile(weights, writeSafetensors(spectralWeights(modelConfig(MODEL))));
  const results: ScaleResult[] = [];
  for (const one of SCALE_CASES) {
    if (options.batch !== undefined && Number(options.batch) !== one.batch) continue;
    const rows = one.rows.filter(({ name }) => new RegExp(options.rows, 'u').test(name));
    results.push(
      await measureScale(
        { ...one, rows },
        {
          ...{ model: MODEL, weights, folder },
          threads: Number(options.threads ?? availableParallelism()),
          rounds: Number(options.rounds),
        },
      ),
    );
  }
  const text = document('ViT-B/32 in its subspace', machine, results.map(scaleTable).join('\n'));
  console.log(text);
  if (!options['dry-run']) await save('scale', { machine, results }, text);
} finally {
  await rm(folder, { recursive: true, force: true });
}
