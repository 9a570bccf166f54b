/**
 * The work that all contestants get: a configuration, weights and one batch, seeded, in files that
 * every language reads.
 */
import {
  buildModel,
  checkpointed,
  i32,
  initialValues,
  Random,
  writeSafetensors,
  type TensorSource,
} from '@thimble/core';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StepCase } from './cases.js';
import type { AnyStepConfig, NetworkModel, StepModel } from '../harness/step-protocol.js';

const SEED = 1;

export interface Workload {
  readonly config: AnyStepConfig;
  /** Deletes the files. */
  dispose(): Promise<void>;
}

/** Writes the files of one case into a temporary folder. */
export async function writeWorkload(step: StepCase, threads: number): Promise<Workload> {
  const folder = await mkdtemp(join(tmpdir(), 'thimble-bench-'));
  const weights = join(folder, 'weights.safetensors');
  const data = join(folder, 'batch.safetensors');
  await writeFile(weights, writeSafetensors(weightTensors(step)));
  await writeFile(data, writeSafetensors(batchTensors(step)));
  return {
    config: {
      model: stepModel(step),
      batch: step.batch,
      threads,
      optimizer: 'sgd',
      lr: step.learningRate,
      momentum: 0,
      weightDecay: 0,
      warmup: 0,
      weights,
      data,
      seed: SEED,
    },
    dispose: () => rm(folder, { recursive: true }),
  };
}

function stepModel({ name, model }: StepCase): StepModel | NetworkModel {
  const { imageSize, classes } = model;
  if (model.family !== 'vit') return { network: name, imageSize, classes };
  const { patch, width, depth, heads, pooling } = model;
  return {
    imageSize,
    patch,
    width,
    depth,
    heads,
    classes,
    pool: pooling === 'token' ? 'token' : 'avg',
  };
}

/** A generator, so that one tensor is drawn at a time. */
function* weightTensors({ model }: StepCase): Generator<TensorSource> {
  for (const { name, type, source } of checkpointed(buildModel(model, { batch: 1 }).graph)) {
    const data = initialValues(source.initial, type.shape, SEED, name);
    yield { name, dtype: 'F32', shape: type.shape, data };
  }
}

/** Normal noise as images; labels count through the classes. */
function batchTensors({ model, batch }: StepCase): readonly TensorSource[] {
  const { imageSize, channels, classes } = model;
  const shape = [batch, channels, imageSize, imageSize];
  const count = shape.reduce((product, extent) => product * extent, 1);
  const images = Random.of(SEED, 'images').fillNormal(new Float32Array(count));
  const labels = Int32Array.from({ length: batch }, (_, index) => index % classes);
  return [
    { name: 'images', dtype: 'F32', shape, data: images },
    { name: 'labels', dtype: 'I32', shape: i32(batch).shape, data: labels },
  ];
}
