/**
 * Real pretrained weights in the folder `shared` beside the repository: recognised without any other file,
 * with PyTorch's logits on real photos (rounded to 5 decimals there). Skipped where the folder is absent.
 */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { foreignWeights, recognise, type Recognised } from '../src/checkpoints/index.js';
import { compile } from '../src/compile.js';
import { rawImage } from '../src/data/image.js';
import { normalizeInto, type Preprocess, type Triple } from '../src/data/preprocess.js';
import { readSafetensors } from '../src/formats/safetensors.js';
import type { Mode } from '../src/ir/graph.js';
import { buildModel } from '../src/models/index.js';
import { predictLogits } from '../src/train/evaluate.js';
import { loadWeights } from '../src/train/weights.js';
import { sourceOf } from './checkpoint-cases.js';
import { FAST_EXECUTORS } from './executors.js';
import { expectClose } from './golden.js';

const FOLDER = new URL('../../../../shared/data/', import.meta.url);
const GOLDEN = new URL('reference/golden.json', FOLDER);

interface Answer {
  readonly size: number;
  readonly mean: Triple;
  readonly std: Triple;
  readonly logits: readonly number[];
}
interface Golden {
  readonly images: readonly {
    readonly index: number;
    readonly models: Readonly<Record<string, Answer>>;
  }[];
}

/** Kernels in float32 against PyTorch's; the golden logits have 5 decimals. */
const TOLERANCE = { relative: 1e-3, absolute: 1e-3 };

const MODELS = [
  ['vit_tiny', 'vit_tiny_patch16_224'],
  ['deit_tiny', 'deit_tiny_patch16_224'],
] as const;

/** Convolutional networks, which an arch.json beside them describes. */
const NETWORKS = [
  [
    'mobilenet_v2',
    'mobilenet_v2_1.0_224.fp16',
    "MobileNetV2, TensorFlow's padding, batch norm folded, 224 px, 1001 classes, described by arch.json",
  ],
  [
    'mcunet-5fps',
    'mcunet-5fps',
    '14 inverted residual blocks, 16 to 160 channels, batch norm folded, 128 px, 1000 classes, described by arch.json',
  ],
  [
    'proxyless-w0.3',
    'proxyless-w0.3',
    '20 inverted residual blocks, 16 to 96 channels, batch norm folded, 128 px, 1000 classes, described by arch.json',
  ],
  [
    'mbv2-w0.35',
    'mbv2-w0.35',
    '17 inverted residual blocks, 16 to 112 channels, batch norm folded, 128 px, 1000 classes, described by arch.json',
  ],
] as const;
const LIMIT = { timeout: 120_000 };

describe.skipIf(!existsSync(GOLDEN))('pretrained weights', () => {
  it.each(MODELS)('%s has the logits of PyTorch', async (name, file) => {
    const found = open(file);
    expect(found.modelName).toBe('vit-tiny-16');
    expect(found.description).toBe('ViT-Ti/16, 224 px, 1000 classes, timm names');
    expect(found.ignored).toEqual([]);
    await expectAnswers(name, found);
  });

  it.each(MODELS)('%s comes back bit by bit through the names of transformers', (_, file) => {
    const { weights, config } = open(file);
    const foreign = foreignWeights('hugging-face', config, weights);
    const back = recognise(foreign, new Map(), { config: null, preprocessor: null });
    expect(back.naming).toBe('hugging-face');
    for (const name of weights.shapes.keys()) {
      const bits = (data: Float32Array) => Buffer.from(data.slice().buffer);
      const same = bits(back.weights.read(name)).equals(bits(weights.read(name)));
      expect(same, name).toBe(true);
    }
    expect([...back.weights.shapes.keys()].sort()).toEqual([...weights.shapes.keys()].sort());
  });

  it.each(NETWORKS)('%s has the logits of PyTorch', LIMIT, async (name, file, description) => {
    const found = open(file, architecture(file));
    expect(found.description).toBe(description);
    expect(found.ignored).toEqual([]);
    expect(found.hasClassifier).toBe(true);
    await expectAnswers(name, found);
  });

  it.each(NETWORKS)('%s needs its arch.json', (_, file) => {
    expect(() => open(file)).toThrow('arch.json');
  });

  it.each(NETWORKS)('%s comes back from its own metadata', (_, file) => {
    const { config, weights } = open(file, architecture(file));
    const metadata = new Map([['thimble.config', JSON.stringify(config)]]);
    const back = recognise(weights, metadata, { config: null, preprocessor: null });
    expect(back.config).toEqual(config);
    expect(back.naming).toBe('thimble');
  });
});

const kind = FAST_EXECUTORS[FAST_EXECUTORS.length - 1];

/** The logits of all golden images. */
async function expectAnswers(name: string, { config, weights }: Recognised): Promise<void> {
  const { images } = JSON.parse(readFileSync(GOLDEN, 'utf8')) as Golden;
  const { imageSize, classes } = config;
  const model = (batch: number, mode: Mode) => buildModel(config, { batch, mode });
  const program = compile({ model, batch: images.length, evalBatch: images.length });
  const executor = await kind.load(program, { threads: 1 });
  loadWeights(executor, model(1, 'eval'), weights, 0);
  const size = 3 * imageSize * imageSize;
  const pixels = new Float32Array(images.length * size);
  images.forEach(({ index, models }, at) => {
    pixels.set(prepared(index, models[name]), at * size);
  });
  const logits = await predictLogits(executor, pixels);
  images.forEach(({ models }, at) => {
    const got = logits.slice(at * classes, (at + 1) * classes);
    const want = models[name].logits;
    // The background, where a classifier has it, is not among them.
    const own = got.slice(got.length - want.length);
    expectClose(own, want, TOLERANCE, `${name}, image ${String(at)}`);
    expect(topFive(own)).toEqual(topFive(want));
  });
  await executor.dispose();
}

function architecture(file: string): unknown {
  const name = file.replace(/\.fp16$/, '');
  const path = new URL(`weights/${name}.arch.json`, FOLDER);
  return JSON.parse(readFileSync(path, 'utf8')) as unknown;
}

function open(file: string, arch: unknown = null) {
  const bytes = readFileSync(new URL(`weights/${file}.safetensors`, FOLDER));
  const { tensors, metadata } = readSafetensors(new Uint8Array(bytes));
  const sidecars = { config: null, preprocessor: null, architecture: arch };
  return recognise(sourceOf(file, tensors), metadata, sidecars);
}

function prepared(index: number, { size, mean, std }: Answer): Float32Array {
  const levels = readFileSync(
    new URL(`reference/golden_${String(index)}_${String(size)}.rgb`, FOLDER),
  );
  const image = rawImage(size, size, new Uint8Array(levels));
  const preprocess: Preprocess = {
    ...{ size, mean, std },
    ...{ cropPercentage: 1, resize: 'squash', filter: 'bicubic' },
  };
  const out = new Float32Array(3 * size * size);
  normalizeInto(image, preprocess, out);
  return out;
}

function topFive(logits: ArrayLike<number>): readonly number[] {
  const order = Array.from({ length: logits.length }, (_, index) => index);
  return order.sort((a, b) => logits[b] - logits[a]).slice(0, 5);
}
