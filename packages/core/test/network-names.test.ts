/**
 * Published convolutional networks under the names of timm, torchvision and transformers: recognised from their tensors,
 * with the logits of the libraries. Names, shapes and logits are of reference/network_names_fixture.py, which fills
 * the weights by the same hash as this file.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { recognise } from '../src/checkpoints/index.js';
import { compile } from '../src/compile.js';
import type { Mode } from '../src/ir/graph.js';
import { elements, type Shape } from '../src/ir/types.js';
import { buildModel } from '../src/models/index.js';
import type { NamingName } from '../src/models/naming.js';
import { predictLogits } from '../src/train/evaluate.js';
import { loadWeights, type WeightSource } from '../src/train/weights.js';
import { FAST_EXECUTORS } from './executors.js';
import { expectClose } from './golden.js';

interface Case {
  readonly name: string;
  readonly library: NamingName;
  readonly config: unknown;
  readonly tensors: Readonly<Record<string, Shape>>;
  readonly logits: readonly number[];
}

const path = new URL('../../../reference/fixtures/network-names.json', import.meta.url);
const CASES = JSON.parse(readFileSync(path, 'utf8')) as readonly Case[];
const IMAGE = 64;
const LIMIT = { timeout: 120_000 };

/** What each is called; ResNets have the same names in timm and in torchvision. */
const DESCRIPTIONS: Readonly<Record<string, string>> = {
  'timm mobilenetv2_100': 'MobileNetV2, 64 px',
  'timm mobilenetv2_050': 'MobileNetV2, 16 to 160 channels, 64 px',
  'timm mobilenetv3_large_100': 'MobileNetV3-Large, 64 px',
  'timm tf_mobilenetv3_small_100': "MobileNetV3-Small, TensorFlow's padding, 64 px",
  'timm efficientnet_b0': 'EfficientNet-B0, 64 px',
  'timm tf_efficientnet_b0': "EfficientNet-B0, TensorFlow's padding, 64 px",
  'timm efficientnet_lite0': 'EfficientNet-Lite0, 64 px',
  'timm resnet18': 'ResNet-18, 64 px',
  'timm resnet50': 'ResNet-50, 64 px',
  'torchvision mobilenet_v2': 'MobileNetV2, 224 px',
  'torchvision mobilenet_v3_large': 'MobileNetV3-Large, 224 px',
  'torchvision mobilenet_v3_small': 'MobileNetV3-Small, 224 px',
  'torchvision efficientnet_b0': 'EfficientNet-B0, 224 px',
  'hugging-face mobilenet_v2': "MobileNetV2, TensorFlow's padding, 64 px",
  'hugging-face efficientnet': "EfficientNet-B0, TensorFlow's padding, 64 px",
  'hugging-face resnet': 'ResNet-18, 64 px',
};

describe('published networks', () => {
  const kind = FAST_EXECUTORS[FAST_EXECUTORS.length - 1];

  it.each(CASES)('$library: $name', LIMIT, async ({ name, library, config, tensors, logits }) => {
    const source = sourceOf(name, tensors);
    const found = recognise(source, new Map(), { config, preprocessor: null });
    const said = DESCRIPTIONS[`${library} ${name}`];
    expect(found.description.startsWith(`${said}, 5 classes, `), found.description).toBe(true);
    expect(found.ignored.every((tensor) => tensor.endsWith('num_batches_tracked'))).toBe(true);
    const own = { ...found.config, imageSize: IMAGE };
    const model = (batch: number, mode: Mode) => buildModel(own, { batch, mode });
    const executor = await kind.load(compile({ model, batch: 1 }), { threads: 1 });
    loadWeights(executor, model(1, 'eval'), found.weights, 0);
    const image = Float32Array.from(hashed('image', 3 * IMAGE * IMAGE));
    expectClose(
      await predictLogits(executor, image),
      logits,
      { relative: 1e-3, absolute: 1e-3 },
      name,
    );
    await executor.dispose();
  });
});

describe("a file with kernels in TensorFlow's order", () => {
  it.each([
    ['timm', 'mobilenetv2_100', 'conv_stem.weight', 32],
    ['timm', 'resnet18', 'conv1.weight', 64],
  ])('is refused by name: %s, %s', (library, network, stem, outputs) => {
    const found = CASES.find(({ name, library: own }) => name === network && own === library);
    const tensors = found?.tensors ?? {};
    const [, inputs, side] = tensors[stem];
    const source = sourceOf(network, { ...tensors, [stem]: [side, side, inputs, outputs] });
    expect(() => recognise(source, new Map(), { config: null, preprocessor: null })).toThrow(
      `${stem}: expected kernels as PyTorch keeps them, [outputs, inputs, height, width], got ` +
        `[${String(side)}, ${String(side)}, 3, ${String(outputs)}], which is TensorFlow's order.`,
    );
  });
});

function sourceOf(name: string, tensors: Case['tensors']): WeightSource {
  const read = (tensor: string) => contents(tensor, tensors[tensor]);
  return { name, shapes: new Map(Object.entries(tensors)), read };
}

function contents(name: string, shape: Shape): Float32Array {
  const values = hashed(name, elements(shape));
  if (name.endsWith('running_var')) return Float32Array.from(values, (x) => 1 + x / 2);
  if (shape.length > 1) {
    const width = Math.floor(Math.log2(Math.sqrt(6 / elements(shape.slice(1)))) + 0.25);
    return Float32Array.from(values, (x) => x * 2 ** width);
  }
  const mean = name.endsWith('weight') ? 1 : 0;
  return Float32Array.from(values, (x) => x / 4 + mean);
}

/** In [−1, 1), 24 bits each. */
function hashed(name: string, count: number): Float64Array {
  let start = 0;
  for (const byte of Buffer.from(name)) start = (Math.imul(start, 31) + byte) >>> 0;
  return Float64Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 0x9e3779b9) + start) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    x = (x ^ (x >>> 16)) >>> 0;
    return (x >>> 8) / 2 ** 23 - 1;
  });
}
