/**
 * Real pretrained weights in the folder `shared` beside the repository: recognised without any other file,
 * with PyTorch's logits on real photos (rounded to 5 decimals there). Skipped where the folder is absent.
 */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { foreignWeights, recognise } from '../src/checkpoints/index.js';
import { compile } from '../src/compile.js';
import { rawImage } from '../src/data/image.js';
import { normalizeInto, type Preprocess, type Triple } from '../src/data/preprocess.js';
import { readSafetensors } from '../src/formats/safetensors.js';
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

describe.skipIf(!existsSync(GOLDEN))('pretrained weights', () => {
  const kind = FAST_EXECUTORS[FAST_EXECUTORS.length - 1];

  it.each(MODELS)('%s has the logits of PyTorch', async (name, file) => {
    const { images } = JSON.parse(readFileSync(GOLDEN, 'utf8')) as Golden;
    const found = open(file);
    expect(found.modelName).toBe('vit-tiny-16');
    expect(found.description).toBe('ViT-Ti/16, 224 px, 1000 classes, timm names');
    expect(found.ignored).toEqual([]);
    const model = (batch: number) => buildModel(found.config, { batch });
    const program = compile({ model, batch: images.length, evalBatch: images.length });
    const executor = await kind.load(program, { threads: 1 });
    loadWeights(executor, model(1), found.weights, 0);
    const pixels = new Float32Array(images.length * 3 * 224 * 224);
    images.forEach(({ index, models }, at) => {
      pixels.set(prepared(index, models[name]), at * 3 * 224 * 224);
    });
    const logits = await predictLogits(executor, pixels);
    images.forEach(({ models }, at) => {
      const got = logits.slice(at * 1000, (at + 1) * 1000);
      const want = models[name].logits;
      expectClose(got, want, TOLERANCE, `${name}, image ${String(at)}`);
      expect(topFive(got)).toEqual(topFive(want));
    });
    await executor.dispose();
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

  it.each([
    ['mobilenet_v2_1.0_224.fp16', '106 tensors such as conv00.bias'],
    ['mcunet-5fps', '86 tensors such as blocks.0.depthwise.bias'],
  ])('says what %s is not', (file, message) => {
    expect(() => open(file)).toThrow(message);
    expect(() => open(file)).toThrow('convolutions');
  });
});

function open(file: string) {
  const bytes = readFileSync(new URL(`weights/${file}.safetensors`, FOLDER));
  const { tensors, metadata } = readSafetensors(new Uint8Array(bytes));
  return recognise(sourceOf(file, tensors), metadata, { config: null, preprocessor: null });
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
