/**
 * Forward passes of vit-tiny-16: our native executor, dense and factored, beside onnxruntime-node
 * on our exported files and PyTorch.
 *
 *   npm run bench:inference -- [--weights FILE] [--rounds N] [--threads N] [--dry-run]
 *   npm run bench:inference -- --profile [--rounds N] …
 *
 * FILE is a safetensors with timm's names, for instance vit_tiny_patch16_224; without it the
 * weights have the spectrum of a pretrained model (scale/spectrum.ts). THIMBLE_PEER_PYTHON names a
 * Python with PyTorch. `--profile` shows the time by op of one image in our executor instead and saves it as
 * bench/results/inference-profile.md.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord, type MachineRecord } from '../harness/machine.js';
import { document, save, saveText } from '../harness/results.js';
import { measureInference } from './measure.js';
import { profileInference } from './profile.js';
import { inferenceTable } from './table.js';
import { writeFiles, type InferenceFiles } from './workload.js';

const { values: options } = parseArgs({
  options: {
    weights: { type: 'string' },
    rounds: { type: 'string', default: '15' },
    profile: { type: 'boolean', default: false },
    threads: { type: 'string' },
    'dry-run': { type: 'boolean', default: false },
  },
});

const threads = Number(options.threads ?? availableParallelism());
const folder = await mkdtemp(join(tmpdir(), 'thimble-inference-'));
try {
  const files = await writeFiles(folder, options.weights ?? null, threads);
  const machine = await machineRecord();
  await (options.profile ? printProfile(files, machine) : benchmark(files, machine));
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function benchmark(files: InferenceFiles, machine: MachineRecord): Promise<void> {
  const weights =
    options.weights === undefined ? "a pretrained model's spectrum" : basename(options.weights);
  const result = await measureInference(files, {
    ...{ threads, weights },
    rounds: Number(options.rounds),
  });
  const text = document('Inference', machine, inferenceTable(result));
  console.log(text);
  if (!options['dry-run']) await save('inference', { machine, result }, text);
}

async function printProfile(files: InferenceFiles, machine: MachineRecord): Promise<void> {
  const repeats = Number(options.rounds);
  const profile = await profileInference(files, { threads, repeats });
  const text = document('Where the time of a forward pass goes', machine, profile);
  console.log(text);
  if (!options['dry-run']) await saveText('inference-profile', text);
}
