/**
 * A ViT that is small enough for the reference executor, with a fixed batch and steps on it.
 *
 * Legend of the byte counts: B batch, N tokens (class token included), D width, H heads, C classes,
 * L depth, R MLP ratio, P values per patch.
 */
import type { Executor, ExecutorKind, HostData } from '../src/executors/executor.js';
import { parameters, type ModelGraph } from '../src/ir/graph.js';
import { elements } from '../src/ir/types.js';
import { vit, type VitConfig } from '../src/models/vit/model.js';
import { initialValues } from '../src/nn/initialise.js';
import type { Optimizer } from '../src/optim/optimizer.js';
import type { Program } from '../src/program.js';
import { Random } from '../src/random.js';
import type { Batch } from '../src/train/batch.js';

/** N = 5, D = 4, H = 2, C = 3, L = 2, R = 2, P = 4. */
export const TINY: VitConfig = {
  family: 'vit',
  imageSize: 4,
  patch: 2,
  channels: 1,
  width: 4,
  depth: 2,
  heads: 2,
  mlpRatio: 2,
  classes: 3,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
};

/** N = 10, D = 12, H = 3, C = 5, L = 3, R = 4, P = 48. */
export const SMALL: VitConfig = {
  family: 'vit',
  imageSize: 12,
  patch: 4,
  channels: 3,
  width: 12,
  depth: 3,
  heads: 3,
  mlpRatio: 4,
  classes: 5,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
};

/** `vit` as a function of the batch size. */
export function modelOf(config: VitConfig, smoothing = 0): (batch: number) => ModelGraph {
  return (batch) => vit(config, { batch, smoothing });
}

/** Normal pixels, and labels that go round the classes. */
export function fixedBatch(
  config: Pick<VitConfig, 'channels' | 'imageSize' | 'classes'>,
  batch: number,
  seed = 3,
): Batch {
  const random = Random.of(seed, 'batch');
  const pixels = batch * config.channels * config.imageSize ** 2;
  return {
    images: random.fillNormal(new Float32Array(pixels)),
    labels: Int32Array.from({ length: batch }, (_, row) => row % config.classes),
    real: batch,
  };
}

/**
 * Every parameter by name, normal with standard deviation 0.3 about 0, or about 1 for norm weights;
 * the left side of a low-rank weight has orthonormal columns.
 */
export function randomWeights(model: ModelGraph, seed = 5): ReadonlyMap<string, Float32Array> {
  const weights = new Map<string, Float32Array>();
  for (const { name, type, source } of parameters(model.graph)) {
    if (source.initial.kind === 'orthonormal') {
      weights.set(name, initialValues(source.initial, type.shape, seed, name));
      continue;
    }
    const mean = source.initial.kind === 'ones' ? 1 : 0;
    const values = new Float32Array(elements(type.shape));
    weights.set(name, Random.of(seed, name).fillNormal(values, 0.3, mean));
  }
  return weights;
}

/** An executor with `program` and the random weights of `model`. */
export async function started(
  kind: ExecutorKind,
  program: Program,
  model: ModelGraph,
): Promise<Executor> {
  const executor = await kind.load(program);
  for (const [name, data] of randomWeights(model)) executor.write(name, data);
  return executor;
}

/** One step on `batch`; its loss. */
export async function step(
  executor: Executor,
  optimizer: Optimizer,
  number: number,
  learningRate: number,
  batch: Batch,
): Promise<number> {
  executor.write('step.images', batch.images);
  executor.write('step.labels', batch.labels);
  writeScalars(executor, 'step', optimizer, number, learningRate);
  await executor.run('step');
  return (await executor.read('step.loss'))[0];
}

/** Learning rate and bias corrections of update `number` (from 1) into an entry's inputs. */
export function writeScalars(
  executor: Executor,
  entry: string,
  optimizer: Optimizer,
  number: number,
  learningRate: number,
): void {
  for (const [name, data] of Object.entries(optimizer.scalars(number, learningRate))) {
    executor.write(`${entry}.${name}`, data);
  }
}

/** Current value of every parameter of `model`. */
export async function weightsOf(
  executor: Executor,
  model: ModelGraph,
): Promise<Record<string, HostData>> {
  const result: Record<string, HostData> = {};
  for (const { name } of parameters(model.graph)) result[name] = await executor.read(name);
  return result;
}
