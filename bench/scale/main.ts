/**
 * Training at the scale of a ViT-B/32: memory and time of a step beside PyTorch's and onnxruntime's.
 *
 *   npm run bench:scale -- --photos DIR [--batch 16|128] [--rounds N] [--threads N]
 *                          [--dry-run] [--rows TEXT] [--model NAME]
 *   npm run bench:scale -- --photos DIR --weights DIR --measure-ranks
 *
 * DIR of photos has class folders. Every contestant is a process of its own; ours factor the dense
 * weights first. Each batch is saved when it is done; three rounds, the default, should take less
 * than 40 minutes on two idle cores, a quarter of it for batch 16. `--rows` runs those whose names
 * match, `--model` trains another vision transformer with at most 12 blocks, to try the benchmark;
 * both save nothing. THIMBLE_PEER_PYTHON names a Python with PyTorch. How ranks are measured says
 * ranks.ts, and how they are mapped imposed.ts.
 */
import { MODELS, type ModelName } from '@thimble/core';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { countStealTime, machineRecord } from '../harness/machine.js';
import { saveText } from '../harness/results.js';
import { chosenRows, SCALE_CASES } from './cases.js';
import { measureScale, type ScaleResult } from './measure.js';
import { ranksText } from './ranks-table.js';
import { measureRanks, photosName, writeRanks } from './ranks.js';
import { keep } from './store.js';
import { scaleDocument } from './table.js';
import { batchPath, photoClasses, workloadModel, writeBatch, writeWeights } from './workload.js';

const { values: options } = parseArgs({
  options: {
    photos: { type: 'string' },
    weights: { type: 'string' },
    'measure-ranks': { type: 'boolean', default: false },
    batch: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string' },
    rows: { type: 'string', default: '' },
    model: { type: 'string', default: 'vit-base-32' },
    'dry-run': { type: 'boolean', default: false },
  },
});

const threads = Number(options.threads ?? availableParallelism());

if (options.photos === undefined) usage();
else if (!options['measure-ranks']) await compare(options.photos);
else if (options.weights === undefined) usage();
else await findRanks(options.weights, options.photos);

function usage(): void {
  console.error('usage: npm run bench:scale -- --photos DIR [--weights DIR --measure-ranks]');
  process.exitCode = 2;
}

async function findRanks(weights: string, photos: string): Promise<void> {
  const ranks = await measureRanks(weights, photos, threads);
  writeRanks(ranks);
  await saveText('scale-ranks', ranksText(ranks));
}

async function compare(photos: string): Promise<void> {
  const pattern = new RegExp(options.rows, 'u');
  const isWhole = options.rows === '' && options.model === 'vit-base-32';
  const isSaved = isWhole && !options['dry-run'];
  const folder = await mkdtemp(join(tmpdir(), 'thimble-scale-'));
  try {
    for (const one of SCALE_CASES) {
      if (options.batch !== undefined && Number(options.batch) !== one.batch) continue;
      const chosen = options.rows === '' ? one : chosenRows(one, pattern);
      const result = await measureCase(chosen, photos, folder);
      console.log(scaleDocument([result]));
      if (isSaved) await keep(result);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureCase(
  one: (typeof SCALE_CASES)[number],
  photos: string,
  folder: string,
): Promise<ScaleResult> {
  const classes = photoClasses(photos).length;
  const name = modelName(options.model);
  const model = workloadModel(name, classes);
  const weights = join(folder, 'weights.safetensors');
  const data = batchPath(folder, one.batch);
  await writeWeights(weights, model);
  await writeBatch(data, photos, model.imageSize, one.batch);
  const machine = await machineRecord();
  const stolen = countStealTime();
  const workload = { model: name, classes, weights, data, photos: photosName(photos) } as const;
  const rounds = Number(options.rounds);
  const result = await measureScale(one, {
    ...{ workload, batch: one.batch, threads, rounds, machine },
  });
  return { ...result, machine: { ...machine, stolenShare: stolen() } };
}

function modelName(text: string): ModelName {
  const names = Object.keys(MODELS) as ModelName[];
  const name = names.find((each) => each === text);
  if (name) return name;
  throw new Error(`--model: expected one of ${names.join(', ')}, got ${text}`);
}
