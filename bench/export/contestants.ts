/** What the export benchmark runs: our executor on the run's weights, onnxruntime on the files. */
import {
  buildModel,
  compile,
  loadWeights,
  parseMethod,
  predictLogits,
  readSafetensors,
  type BoundMethod,
  type Executor,
  type HostData,
  type ModelConfig,
  type Preprocess,
  type Ranks,
  type WeightSource,
} from '@thimble/core';
import { native } from '@thimble/native';
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';

/** Something that turns pixels [batch, 3, S, S] into logits, for two sizes of a batch. */
export interface Runner {
  readonly batches: readonly number[];
  logits(pixels: Float32Array, batch: number): Promise<HostData>;
  close(): Promise<void>;
}

/** A model as its safetensors file describes it. */
export interface RunModel {
  readonly name: string;
  readonly config: ModelConfig;
  readonly classes: readonly string[];
  readonly preprocess: Preprocess;
  readonly method: BoundMethod;
  readonly source: WeightSource;
}

export function readModel(path: string): RunModel {
  const { metadata, tensors } = readSafetensors(readFileSync(path));
  const json = (key: string): unknown => JSON.parse(metadata.get(key) ?? 'null');
  const factors = json('thimble.factors') as { method: string; ranks: Ranks } | null;
  const dense = parseMethod('full');
  const view = (name: string) => {
    const found = tensors.get(name);
    if (found) return found;
    throw new Error(`${path}: no tensor ${name}`);
  };
  return {
    name: metadata.get('model') ?? 'model',
    config: json('thimble.config') as ModelConfig,
    classes: json('classes') as readonly string[],
    preprocess: json('preprocess') as Preprocess,
    method: factors ? parseMethod(factors.method).with({ ranks: factors.ranks }) : dense,
    source: {
      name: path,
      shapes: new Map([...tensors].map(([name, { shape }]) => [name, shape])),
      read: (name) => view(name).toFloat32(),
    },
  };
}

/** The model in our executor, with its weights. */
export async function ownExecutor(
  { config, method, source }: RunModel,
  batch: number,
  threads: number,
): Promise<Executor> {
  const build = (images: number) => buildModel(config, { batch: images });
  const program = compile({ model: build, method, batch });
  const executor = await native.load(program, { threads });
  loadWeights(executor, method.forward(build(1)), source, 0);
  return executor;
}

/** One loaded program for each size of a batch. */
export async function ownRunner(
  model: RunModel,
  batches: readonly number[],
  threads: number,
): Promise<Runner> {
  const executors = new Map(
    await Promise.all(
      batches.map(async (batch) => [batch, await ownExecutor(model, batch, threads)] as const),
    ),
  );
  return {
    batches,
    logits: (pixels, batch) => {
      const executor = executors.get(batch);
      if (!executor) throw new Error(`no program for ${batch} images`);
      return predictLogits(executor, pixels);
    },
    close: async () => {
      for (const executor of executors.values()) await executor.dispose();
    },
  };
}

export async function onnxRunner(
  path: string,
  side: number,
  batches: readonly number[],
  threads: number,
): Promise<Runner> {
  const session = await InferenceSession.create(path, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  return {
    batches,
    logits: async (pixels, batch) => {
      const feed = new Tensor('float32', pixels, [batch, 3, side, side]);
      const { logits } = await session.run({ pixel_values: feed });
      if (logits.data instanceof Float32Array) return logits.data;
      throw new Error(`${path}: logits that are not float32`);
    },
    close: () => session.release(),
  };
}
