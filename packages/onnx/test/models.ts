/** What the ONNX tests share: small models with random weights, and runs of both runtimes. */
import {
  buildModel,
  checkpointed,
  compile,
  elements,
  linears,
  parseMethod,
  predictLogits,
  Random,
  wasmExecutor,
  type HostData,
  type Mode,
  type ModelConfig,
  type ModelGraph,
} from '@thimble/core';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { encodeOnnx } from '../src/encode.js';
import type { OnnxGraph, OnnxModel } from '../src/graph.js';

const VIT = {
  family: 'vit',
  imageSize: 12,
  patch: 4,
  channels: 3,
  width: 48,
  depth: 2,
  heads: 3,
  mlpRatio: 4,
  classes: 5,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
} as const satisfies ModelConfig;

/** Two stages; the first has shifted windows. */
const SWIN = {
  family: 'swin',
  imageSize: 16,
  patch: 2,
  channels: 3,
  width: 24,
  depths: [2, 2],
  heads: [2, 4],
  window: 4,
  mlpRatio: 4,
  classes: 5,
  layerNormEps: 1e-5,
} as const satisfies ModelConfig;

const SQUEEZE = { width: 12, activation: 'silu', gate: 'sigmoid' } as const;
const BLOCK = {
  kernel: 3,
  stride: 1,
  activation: 'silu',
  squeeze: null,
  projection: 'none',
} as const;
const WIDE = { width: 96, activation: 'silu' } as const;

/** Inverted residuals with squeeze-excitation and TensorFlow's padding. */
const MOBILENET = {
  ...{ family: 'mobilenet', imageSize: 20, channels: 3, classes: 5, padding: 'same' },
  batchNorm: { eps: 1e-3, momentum: 0.1 },
  stem: { width: 24, activation: 'silu' },
  stages: [
    [{ ...BLOCK, expansion: null, width: 24 }],
    [
      { ...BLOCK, kernel: 5, stride: 2, expansion: WIDE, squeeze: SQUEEZE, width: 32 },
      { ...BLOCK, expansion: WIDE, width: 32 },
    ],
  ],
  tail: { width: 96, activation: 'hard-swish' },
  features: { width: 64, activation: 'hard-swish' },
} as const satisfies ModelConfig;

const FOLDED = {
  ...MOBILENET,
  ...{ batchNorm: null, features: null, padding: 'symmetric' },
  tail: { width: 96, activation: { low: 0, high: 3.5 } },
} as const satisfies ModelConfig;

const RESNET = {
  ...{ family: 'resnet', imageSize: 32, channels: 3, classes: 5, stem: 'large', stemWidth: 16 },
  ...{ batchNorm: { eps: 1e-5, momentum: 0.1 }, block: 'basic', depths: [1, 2], widths: [16, 32] },
} as const satisfies ModelConfig;

export interface TestModel {
  readonly title: string;
  readonly config: ModelConfig;
  /** As `parseMethod` reads it. */
  readonly method: string;
}

export const TEST_MODELS: readonly TestModel[] = [
  { title: 'ViT', config: VIT, method: 'full' },
  { title: 'ViT, mean of patches', config: { ...VIT, pooling: 'mean' }, method: 'full' },
  {
    title: 'ViT, no class token',
    config: { ...VIT, pooling: 'mean', classToken: false },
    method: 'full',
  },
  { title: 'DeiT, distilled', config: { ...VIT, distilled: true }, method: 'full' },
  { title: 'ViT, wasi', config: VIT, method: 'wasi' },
  { title: 'ViT, lora', config: VIT, method: 'lora=4' },
  { title: 'Swin', config: SWIN, method: 'full' },
  { title: 'Swin, wasi', config: SWIN, method: 'wasi=0.8,layers=all' },
  { title: 'Swin, lora', config: SWIN, method: 'lora=4' },
  { title: 'MobileNet', config: MOBILENET, method: 'full' },
  { title: 'MobileNet, folded', config: FOLDED, method: 'full' },
  { title: 'MobileNet, lora', config: MOBILENET, method: 'lora=4' },
  { title: 'MobileNet, wasi', config: MOBILENET, method: 'wasi' },
  { title: 'ResNet', config: RESNET, method: 'full' },
  { title: 'ResNet, bottlenecks', config: { ...RESNET, block: 'bottleneck' }, method: 'full' },
];

/** Share of the smaller side of a weight that is its rank; both sides are worth 8-bit integers. */
const SHARE = 0.6;

/** Standard deviation of biases and of the factors of norms. */
const SPREAD = 0.3;

/** The method with ranks for weights, as training would have found them. */
export function methodOf({ config, method }: TestModel) {
  const parsed = parseMethod(method);
  const weights = parsed.probe?.weights;
  if (!weights) return parsed;
  const ranks: Record<string, number> = {};
  for (const linear of linears(buildModel(config, { batch: 1 }), weights.layers)) {
    const { weight, inputs, outputs } = linear;
    ranks[weight] = Math.max(1, Math.round(SHARE * Math.min(inputs, outputs)));
  }
  return parsed.with({ ranks: { weights: ranks, activations: {} } });
}

export function modelOf(model: TestModel): (batch: number, mode?: Mode) => ModelGraph {
  const method = methodOf(model);
  return (batch, mode = 'eval') => method.forward(buildModel(model.config, { batch, mode }));
}

/** Matrices that keep the variance of what they are applied to; norms around 1, the rest around 0. */
export function weightsOf(model: TestModel): ReadonlyMap<string, Float32Array> {
  return new Map(
    checkpointed(modelOf(model)(1).graph).map(({ name, type, source }) => {
      const mean = source.initial.kind === 'ones' ? 1 : 0;
      const inputs = elements(type.shape.slice(1));
      const spread = type.shape.length === 1 ? SPREAD : 1 / Math.sqrt(inputs);
      const values = new Float32Array(elements(type.shape));
      const drawn = Random.of(5, name).fillNormal(values, spread, mean);
      return [name, name.endsWith('running_var') ? drawn.map(Math.abs) : drawn];
    }),
  );
}

export function reader(weights: ReadonlyMap<string, Float32Array>): (name: string) => Float32Array {
  return (name) => {
    const found = weights.get(name);
    if (found) return found;
    throw new Error(`no weight ${name}`);
  };
}

export function pixels({ config }: TestModel, batch: number): Float32Array {
  const count = batch * config.channels * config.imageSize ** 2;
  return Random.of(7, 'pixels').fillNormal(new Float32Array(count));
}

/** The logits of our own executor. */
export async function ourLogits(model: TestModel, batch: number): Promise<HostData> {
  const build = (images: number, mode: Mode) => buildModel(model.config, { batch: images, mode });
  const program = compile({ model: build, method: methodOf(model), batch });
  const executor = await wasmExecutor.load(program);
  try {
    for (const [name, data] of weightsOf(model)) executor.write(name, data);
    return await predictLogits(executor, pixels(model, batch));
  } finally {
    await executor.dispose();
  }
}

export function modelFile(graph: OnnxGraph, parts: Partial<OnnxModel> = {}): Uint8Array {
  const metadata = new Map<string, string>();
  const file = encodeOnnx({ name: 'test', producerVersion: '1', metadata, ...parts, graph });
  const bytes = Buffer.concat([...file.parts()].map((part) => Buffer.from(part)));
  if (bytes.byteLength !== file.bytes) throw new Error('the size was not what was announced');
  return bytes;
}

/** The first output of a graph in onnxruntime, for inputs by name. */
export async function runOnnx(
  graph: OnnxGraph,
  inputs: Readonly<
    Record<string, { readonly data: Float32Array; readonly shape: readonly number[] }>
  >,
): Promise<{ readonly data: Float32Array; readonly shape: readonly number[] }> {
  const options = { intraOpNumThreads: 1, logSeverityLevel: 3 } as const;
  const session = await InferenceSession.create(modelFile(graph), options);
  try {
    const feeds = Object.entries(inputs).map(
      ([name, { data, shape }]) => [name, new Tensor('float32', data, shape)] as const,
    );
    const results = await session.run(Object.fromEntries(feeds));
    const { data, dims } = results[graph.outputs[0].name];
    if (!(data instanceof Float32Array)) throw new Error('float32 expected');
    return { data, shape: dims };
  } finally {
    await session.release();
  }
}

/** Largest difference; NaN where there is one. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return NaN;
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}
