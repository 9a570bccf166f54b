/**
 * Ranks that photos give on pretrained models, so that a model of another width can be compiled with them
 * where no pretrained weights of its size are at hand. ViT-Ti and DeiT-Ti have as many blocks as ViT-B; at
 * 112 px with patches of 16 their inputs have 50 tokens, as those of ViT-B/32 at 224 px.
 *
 *   npm run bench:scale -- --measure-ranks --weights DIR --photos DIR
 *
 * writes ranks.json beside this file and bench/results/scale-ranks.md. What is found depends on weights and
 * photos, not on the machine. Everything is measured by `prepare`, as `train` does before it compiles.
 */
import {
  buildModel,
  defaultPreprocess,
  imagenetMean,
  imagenetStd,
  modelConfig,
  parseMethod,
  prepare,
  type Batch,
  type ModelBuilder,
  type ModelConfig,
  type Preparation,
  type Preprocess,
} from '@thimble/core';
import { native } from '@thimble/native';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readPhotos } from '../harness/photos.js';
import { fileSource } from './file-source.js';
import { photoClasses } from './workload.js';

/** What a linear of a block has at one explained variance. */
export interface LinearRanks {
  /** K of its weight by truncation in the metric of the data, and by the published rule; null: dense. */
  readonly data: number | null;
  readonly plain: number | null;
  /** Of its input [images, tokens, channels]; null: the input is needed as it is by somebody else. */
  readonly tucker: readonly number[] | null;
}

/** By the linear's weight. */
type ModelRanks = Readonly<Record<string, LinearRanks>>;

export interface MeasuredRanks {
  readonly photos: string;
  readonly imageSize: number;
  /** Of a batch on which inputs are measured: the first of `tucker` is a rank among so many. */
  readonly images: number;
  /** By the file of weights, then by ε. */
  readonly models: Readonly<Record<string, Readonly<Record<string, ModelRanks>>>>;
}

export const EPSILONS = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95] as const;

const DEIT: Preprocess = { ...defaultPreprocess, mean: imagenetMean, std: imagenetStd };
const SOURCES = [
  ['vit_tiny_patch16_224', defaultPreprocess],
  ['deit_tiny_patch16_224', DEIT],
] as const;
const IMAGE_SIZE = 112;
/** Images on which `prepare` measures inputs, and those that it calibrates on. */
const IMAGES = 16;
const CALIBRATION = 128;
const SEED = 1;

/** This file runs as bench/dist/scale/ranks.js. */
const usualPath = fileURLToPath(new URL('../../scale/ranks.json', import.meta.url));

export function readRanks(path: string = usualPath): MeasuredRanks {
  return JSON.parse(readFileSync(path, 'utf8')) as MeasuredRanks;
}

export function writeRanks(ranks: MeasuredRanks): void {
  const inLine = (object: string) => object.replace(/\s+/gu, ' ').replace(/(\[) | (\])/gu, '$1$2');
  const text = JSON.stringify(ranks, null, 2).replace(/\{\s+"data"[^{}]*\}/gu, inLine);
  writeFileSync(usualPath, `${text}\n`);
}

/** The model that was measured, with `classes`. */
export function measuredModel(classes: number): ModelConfig {
  return { ...modelConfig('vit-tiny-16'), imageSize: IMAGE_SIZE, classes };
}

/**
 * @param weights folder with the files of SOURCES
 * @param photos class folders
 */
export async function measureRanks(
  weights: string,
  photos: string,
  threads: number,
): Promise<MeasuredRanks> {
  const models: Record<string, Record<string, ModelRanks>> = {};
  for (const [name, preprocess] of SOURCES) {
    const file = join(weights, `${name}.safetensors`);
    const batches = await photoBatches(photos, { ...preprocess, size: IMAGE_SIZE });
    const found: Record<string, ModelRanks> = {};
    for (const epsilon of EPSILONS) {
      console.log(`${name}, ε = ${String(epsilon)}`);
      found[String(epsilon)] = await measure(file, batches, epsilon, threads);
    }
    models[name] = found;
  }
  return { photos: photosName(photos), imageSize: IMAGE_SIZE, images: IMAGES, models };
}

async function measure(
  file: string,
  batches: readonly Batch[],
  epsilon: number,
  threads: number,
): Promise<ModelRanks> {
  const config = measuredModel(classCount(batches));
  const model: ModelBuilder = (images, mode) => buildModel(config, { batch: images, mode });
  const source = fileSource(file);
  try {
    const prepared = await prepare({
      ...{ model, source, kind: native, threads, batch: IMAGES, seed: SEED },
      method: parseMethod(`wasi=${String(epsilon)}`),
      batches: () => batches,
    });
    return ranksOf(prepared, epsilon);
  } finally {
    source.close();
  }
}

/** Ranks at ε as they were measured, before a budget moves them between inputs. */
function ranksOf({ tables }: Preparation, epsilon: number): ModelRanks {
  const { weights, activations } = tables;
  const inputs = new Map(
    activations?.layers.map(({ weight, options }) => {
      const { ranks } = options[activations.epsilons.indexOf(epsilon)];
      return [weight, ranks] as const;
    }),
  );
  return Object.fromEntries(
    (weights?.layers ?? []).map(({ weight, rank, plainRank }) => {
      const tucker = inputs.get(weight) ?? null;
      return [weight, { data: rank, plain: plainRank, tucker }] as const;
    }),
  );
}

async function photoBatches(folder: string, preprocess: Preprocess): Promise<readonly Batch[]> {
  const { pixels, labels } = await readPhotos(
    folder,
    photoClasses(folder),
    preprocess,
    CALIBRATION,
  );
  const size = pixels.length / labels.length;
  return Array.from({ length: Math.floor(labels.length / IMAGES) }, (_, index) => {
    const first = index * IMAGES;
    return {
      images: pixels.subarray(first * size, (first + IMAGES) * size),
      labels: Int32Array.from(labels.slice(first, first + IMAGES)),
      real: IMAGES,
    };
  });
}

function classCount(batches: readonly Batch[]): number {
  return 1 + Math.max(...batches.flatMap(({ labels }) => [...labels]));
}

/** `…/flowers/train` → `flowers/train` */
export function photosName(folder: string): string {
  return folder.split('/').filter(Boolean).slice(-2).join('/');
}
