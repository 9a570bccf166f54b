/**
 * Forward passes of vit-tiny-16: our native executor, dense and factored, beside onnxruntime-node
 * on our exported files and PyTorch.
 *
 *   npm run bench:inference -- [--weights FILE] [--rounds N] [--threads N] [--dry-run]
 *
 * FILE is a safetensors with timm's names, for instance vit_tiny_patch16_224; without it the
 * weights have the spectrum of a pretrained model (scale/spectrum.ts). THIMBLE_PEER_PYTHON names a
 * Python with PyTorch.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { measureInference } from './measure.js';
import { inferenceTable } from './table.js';
import { writeFiles } from './workload.js';

const { values: options } = parseArgs({
  options: {
    weights: { type: 'string' },
    rounds: { type: 'string', default: '15' },
    threads: { type: 'string' },
    'dry-run': { type: 'boolean', default: false },
  },
});

const threads = Number(options.threads ?? availableParallelism());
const folder = await mkdtemp(join(tmpdir(), 'thimble-inference-'));
try {
  const files = await writeFiles(folder, options.weights ?? null, threads);
  const machine = await machineRecord();
  const weights =
    options.weights === undefined ? "a pretrained model's spectrum" : basename(options.weights);
  const result = await measureInference(files, {
    ...{ threads, weights },
    rounds: Number(options.rounds),
  });
  const text = document('Inference', machine, inferenceTable(result));
  console.log(text);
  if (!options['dry-run']) await save('inference', { machine, result }, text);
} finally {
  await rm(folder, { recursive: true, force: true });
}
