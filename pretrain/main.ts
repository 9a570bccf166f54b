/**
 * Trains the backbone that ships with Thimble, and says how good it is.
 *
 *   npm run pretrain -- backbone --data DIR --out DIR [--threads N]
 *   npm run pretrain -- cifar10  --data DIR --out DIR [--random] [--threads N]
 *   npm run pretrain -- ship     --out DIR
 *
 * DIR of --data holds tinyimagenet100_64 and cifar10_32 (see `sheets.ts`). `backbone` writes
 * backbone.safetensors, `cifar10` fine-tunes it (or random weights) and writes its test accuracy;
 * both write a log, one JSON object per line, and go on where they were interrupted. `ship` rounds the backbone to 16 bits into
 * packages/core/assets and copies the logs here.
 */
import {
  buildModel,
  evaluate,
  loadWeights,
  readSafetensors,
  readWeights,
  writeSafetensors,
  type Executor,
  type Preprocess,
  type VitConfig,
  type WeightSource,
} from '@thimble/core';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { testFeed } from './feed.js';
import { initialiseMimetic } from './mimetic.js';
import { BACKBONE, CIFAR10, configOf, runStage } from './recipe.js';
import { readTiles, union, type Tiles } from './sheets.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const SETS = ['tinyimagenet100_64', 'cifar10_32'] as const;
/** While it trains, every so many test pictures are looked at; at the end, all. */
const GLANCE = 5;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: 'string', default: '' },
    out: { type: 'string', default: 'pretrain-out' },
    random: { type: 'boolean', default: false },
    threads: { type: 'string', default: '2' },
  },
});
const size = configOf(1).imageSize;
const threads = Number(options.threads);
mkdirSync(options.out, { recursive: true });

if (positionals[0] === 'backbone') await backbone();
else if (positionals[0] === 'cifar10') await cifar10();
else if (positionals[0] === 'ship') ship();
else {
  console.error('usage: npm run pretrain -- backbone|cifar10|ship --data DIR --out DIR');
  process.exitCode = 2;
}

async function backbone(): Promise<void> {
  const tiles = union([
    await readTiles(join(options.data, SETS[0]), 'train', size),
    await readTiles(join(options.data, SETS[1]), 'train', size),
  ]);
  const test = union([
    await readTiles(join(options.data, SETS[0]), 'val', size),
    await readTiles(join(options.data, SETS[1]), 'test', size),
  ]);
  const log = logTo('backbone.jsonl');
  const feed = { batch: BACKBONE.batch, size, seed: BACKBONE.seed };
  await runStage(
    {
      recipe: BACKBONE,
      tiles,
      threads,
      state: join(options.out, 'backbone.state'),
      start: (executor, config) => initialiseMimetic(executor, config, BACKBONE.seed),
      validation: () => testFeed(test, feed, GLANCE),
      log,
      save: (executor, config) => saveBackbone(executor, config, tiles.classes),
    },
    async (executor) => {
      log({ event: 'done', test: await evaluate(executor, testFeed(test, feed)) });
    },
  );
}

async function cifar10(): Promise<void> {
  const tiles = await readTiles(join(options.data, SETS[1]), 'train', size);
  const test: Tiles = await readTiles(join(options.data, SETS[1]), 'test', size);
  const name = options.random ? 'cifar10-random' : 'cifar10';
  const log = logTo(`${name}.jsonl`);
  const feed = { batch: CIFAR10.batch, size, seed: CIFAR10.seed };
  await runStage(
    {
      recipe: CIFAR10,
      tiles,
      threads,
      state: join(options.out, `${name}.state`),
      start: (executor, config) => {
        if (options.random) return;
        loadWeights(executor, buildModel(config, { batch: 1 }), openBackbone(), CIFAR10.seed);
      },
      validation: () => testFeed(test, feed, GLANCE),
      log,
      save: () => Promise.resolve(),
    },
    async (executor) => {
      log({ event: 'done', test: await evaluate(executor, testFeed(test, feed)) });
    },
  );
}

function backboneFile(): string {
  return join(options.out, 'backbone.safetensors');
}

async function saveBackbone(
  executor: Executor,
  config: VitConfig,
  classes: readonly string[],
): Promise<void> {
  const tensors = await readWeights(executor, buildModel(config, { batch: 1 }));
  const sources = tensors.map((tensor) => ({ ...tensor, dtype: 'F32' as const }));
  writeFileSync(backboneFile(), writeSafetensors(sources, backboneMetadata(classes)));
}

/** Enough to use the file without anything beside it. */
function backboneMetadata(classes: readonly string[]): ReadonlyMap<string, string> {
  const preprocess: Preprocess = {
    size,
    cropPercentage: 1,
    resize: 'shortest-edge',
    filter: 'bicubic',
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
  };
  return new Map([
    ['format', 'pt'],
    ['model', 'vit-micro'],
    ['classes', JSON.stringify(classes)],
    ['thimble.config', JSON.stringify(configOf(classes.length))],
    ['preprocess', JSON.stringify(preprocess)],
  ]);
}

function openBackbone(): WeightSource {
  const { tensors } = readSafetensors(readFileSync(backboneFile()));
  const read = (name: string) => tensors.get(name)?.toFloat32() ?? new Float32Array(0);
  const shapes = new Map([...tensors].map(([name, { shape }]) => [name, shape]));
  return { name: backboneFile(), shapes, read };
}

function ship(): void {
  const { tensors, metadata } = readSafetensors(readFileSync(backboneFile()));
  const sources = [...tensors.values()].map((tensor) => ({
    name: tensor.name,
    shape: tensor.shape,
    dtype: 'F16' as const,
    data: tensor.toFloat32(),
  }));
  const assets = join(ROOT, 'packages/core/assets');
  mkdirSync(assets, { recursive: true });
  const classes = JSON.parse(metadata.get('classes') ?? '[]') as string[];
  const file = writeSafetensors(sources, backboneMetadata(classes));
  writeFileSync(join(assets, 'vit-micro.safetensors'), file);
  mkdirSync(join(ROOT, 'pretrain/logs'), { recursive: true });
  for (const file of ['backbone.jsonl', 'cifar10.jsonl', 'cifar10-random.jsonl']) {
    const log = join(options.out, file);
    if (existsSync(log)) copyFileSync(log, join(ROOT, 'pretrain/logs', file));
  }
}

/** Goes on with the file of a run that was interrupted. */
function logTo(name: string): (line: object) => void {
  const file = join(options.out, name);
  return (line) => {
    appendFileSync(file, `${JSON.stringify(line)}\n`);
    console.log(JSON.stringify(line));
  };
}
