/**
 * A ViT and a Swin transformer that are small enough to be prepared in a test, with weights whose spectra
 * fall, and batches.
 */
import { compile, type ModelBuilder } from '../src/compile.js';
import type { Executor, HostData } from '../src/executors/executor.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import { parameters } from '../src/ir/graph.js';
import { elements } from '../src/ir/types.js';
import { parseMethod } from '../src/methods/index.js';
import { swin, type SwinConfig } from '../src/models/swin/model.js';
import { vit, type VitConfig } from '../src/models/vit/model.js';
import { sgd } from '../src/optim/sgd.js';
import type { Preparation, PrepareOptions } from '../src/prepare/types.js';
import { Random } from '../src/random.js';
import type { Batch } from '../src/train/batch.js';
import { predictLogits } from '../src/train/evaluate.js';
import type { WeightSource } from '../src/train/weights.js';

export const BATCH = 4;

/** N = 10, D = 32; linears of 96×32, 32×32, 64×32, 32×64. */
export const VIT: VitConfig = {
  family: 'vit',
  imageSize: 12,
  patch: 4,
  channels: 3,
  width: 32,
  depth: 3,
  heads: 2,
  mlpRatio: 2,
  classes: 3,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
};

/** Stages of 4×4 tokens of 32 and 2×2 tokens of 64, with a downsampling between. */
export const SWIN: SwinConfig = {
  family: 'swin',
  imageSize: 8,
  patch: 2,
  channels: 3,
  width: 32,
  depths: [2, 1],
  heads: [2, 4],
  window: 2,
  mlpRatio: 2,
  classes: 3,
  layerNormEps: 1e-5,
};

export const vitModel: ModelBuilder = (batch, mode) => vit(VIT, { batch, mode });
export const swinModel: ModelBuilder = (batch, mode) => swin(SWIN, { batch, mode });

/** Weights with falling spectra, in the file's names. */
export function sourceOf(
  model: ModelBuilder,
  changes: ReadonlyMap<string, Float32Array> = new Map(),
) {
  const tensors = new Map<string, Float32Array>();
  const shapes = new Map<string, readonly number[]>();
  for (const { name, type, source } of parameters(model(1, 'eval').graph)) {
    const { shape } = type;
    const mean = source.initial.kind === 'ones' ? 1 : 0;
    const own = Random.of(5, name).fillNormal(new Float32Array(elements(shape)), 0.3, mean);
    if (shape.length === 2) {
      own.forEach((value, at) => (own[at] = value * 1.5 * 0.9 ** (at % shape[1])));
    }
    tensors.set(name, changes.get(name) ?? own);
    shapes.set(name, shape);
  }
  const source: WeightSource = {
    name: 'a.safetensors',
    shapes,
    read: (name) => tensors.get(name) ?? new Float32Array(),
  };
  return source;
}

export function* batches(model: ModelBuilder, count = 5): Generator<Batch> {
  const images = model(BATCH, 'train').graph.values.find(({ name }) => name === 'images');
  for (let index = 0; index < count; index++) {
    const pixels = new Float32Array(elements(images?.type.shape ?? []));
    yield {
      images: Random.of(index, 'pixels').fillNormal(pixels),
      labels: Int32Array.from({ length: BATCH }, (_, row) => (row + index) % 3),
      real: BATCH,
    };
  }
}

export function optionsFor(
  method: string,
  more: Partial<PrepareOptions> = {},
  model: ModelBuilder = vitModel,
): PrepareOptions {
  return {
    model,
    method: parseMethod(method),
    source: sourceOf(model),
    batches: () => batches(model),
    kind: wasmExecutor,
    threads: 2,
    batch: BATCH,
    seed: 1,
    ...more,
  };
}

/** Loads a program of the prepared method with its weights. */
export async function filled(options: PrepareOptions, prepared: Preparation): Promise<Executor> {
  const { model, kind, batch } = options;
  const program = compile({ model, method: prepared.method, batch, optimizer: sgd() });
  const executor = await kind.load(program);
  await prepared.emitWeights(executor);
  return executor;
}

export async function logitsOf(executor: Executor, model: ModelBuilder): Promise<HostData> {
  const [{ images }] = batches(model, 1);
  return predictLogits(executor, images);
}
