/**
 * What all contestants of the scale benchmark train on: weights and one batch of photos with their labels, in
 * files that every language reads. Every micro-batch has photos of its own.
 */
import {
  defaultPreprocess,
  i32,
  modelConfig,
  writeSafetensors,
  type ModelConfig,
  type ModelName,
} from '@thimble/core';
import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readPhotos } from '../harness/photos.js';
import { spectralWeights } from './spectrum.js';

export interface Workload {
  readonly model: ModelName;
  readonly classes: number;
  /**
   * Paths of safetensors: dense weights, and `images` F32 [B, 3, S, S] with `labels` I32 [B]; the same images as
   * `levels` I8, from which Thimble's models make these numbers.
   */
  readonly weights: string;
  readonly data: string;
  /** What a person may read of them. */
  readonly photos: string;
}

/** The model with the classes of the photos. */
export function workloadModel(model: ModelName, classes: number): ModelConfig {
  return { ...modelConfig(model), classes };
}

/** Writes the weights; `classes` are folders of photos. */
export async function writeWeights(path: string, model: ModelConfig): Promise<void> {
  await writeFile(path, writeSafetensors(spectralWeights(model)));
}

export function photoClasses(photos: string): readonly string[] {
  return readdirSync(photos).sort();
}

/** Writes `batch` photos, the classes in turn. Throws Error where there are fewer. */
export async function writeBatch(
  path: string,
  photos: string,
  size: number,
  batch: number,
): Promise<void> {
  const preprocess = { ...defaultPreprocess, size };
  const { pixels, labels } = await readPhotos(photos, photoClasses(photos), preprocess, batch);
  if (labels.length < batch) {
    throw new Error(`${photos}: expected ${batch} photos, got ${labels.length}`);
  }
  const shape = [batch, 3, size, size];
  const levels = Int8Array.from(pixels, (x) => Math.round(levelOf(x)) - 128);
  const tensors = [
    { name: 'images', dtype: 'F32', shape, data: pixels },
    { name: 'levels', dtype: 'I8', shape, data: levels },
    { name: 'labels', dtype: 'I32', shape: i32(batch).shape, data: Int32Array.from(labels) },
  ] as const;
  await writeFile(path, writeSafetensors(tensors));
}

/** The level of a number, with the mean and the standard deviation of `defaultPreprocess`. */
function levelOf(x: number): number {
  return 127.5 * (x + 1);
}

export function batchPath(folder: string, batch: number): string {
  return join(folder, `batch-${batch}.safetensors`);
}
