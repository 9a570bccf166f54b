/**
 * Checkpoints of timm, transformers and torchvision: recognised right, with the logits that the libraries
 * compute, and the same bits after a way out and in again.
 */
import { describe, expect, it } from 'vitest';
import {
  foreignWeights,
  huggingFaceConfig,
  recognise,
  type Recognised,
} from '../src/checkpoints/index.js';
import { CheckpointError } from '../src/errors.js';
import { compile } from '../src/compile.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import type { ExecutorKind } from '../src/executors/executor.js';
import { buildModel, type ModelConfig } from '../src/models/index.js';
import { predictLogits } from '../src/train/evaluate.js';
import { loadWeights, type WeightSource } from '../src/train/weights.js';
import { altered, caseOf, casesOf, LIBRARIES, renamed, type Case } from './checkpoint-cases.js';
import { expectClose, FLOAT32 } from './golden.js';

const NONE = new Map<string, string>();
const NO_FILES = { config: null, preprocessor: null };

async function logitsOf(
  kind: ExecutorKind,
  config: ModelConfig,
  weights: WeightSource,
  input: Float64Array,
) {
  const batch = 2;
  const model = (images: number) => buildModel(config, { batch: images });
  const program = compile({ model, batch, evalBatch: batch });
  const executor = await kind.load(program, { threads: 1 });
  const report = loadWeights(executor, model(1), weights, 0);
  expect(report.replaced).toEqual([]);
  const logits = await predictLogits(executor, Float32Array.from(input));
  await executor.dispose();
  return Float64Array.from(logits);
}

function expectSame(a: WeightSource, b: WeightSource): void {
  expect(Object.fromEntries(b.shapes)).toEqual(Object.fromEntries(a.shapes));
  for (const name of a.shapes.keys()) expect(b.read(name), name).toEqual(a.read(name));
}

describe.each(LIBRARIES)('checkpoints of %s', (library) => {
  describe.each(casesOf(library).map((each) => [each.name, each] as const))('%s', (_, given) => {
    const found = recognise(given.source, NONE, given.sidecars);

    it('is recognised', () => {
      expect(found.naming).toBe(library);
      expect(found.config).toMatchObject(given.expected);
      expect(found.hasClassifier).toBe(given.logits !== null);
    });

    it.skipIf(given.logits === null).each([referenceExecutor, wasmExecutor])(
      'has the logits of the library on $name',
      async (kind) => {
        const logits = await logitsOf(kind, found.config, found.weights, given.input);
        expectClose(logits, given.logits ?? [], FLOAT32, 'logits');
      },
    );

    it.skipIf(given.logits === null)('comes back bit by bit through the names of timm', () => {
      expectSame(found.weights, again('timm', found).weights);
    });

    const isMean = given.expected.pooling === 'mean';
    it.skipIf(given.logits === null || isMean)(
      'comes back bit by bit, with its configuration, through those of transformers',
      () => {
        const back = again('hugging-face', found);
        expectSame(found.weights, back.weights);
        expect(back.config).toEqual(found.config);
        expect(back.labels).toEqual(labelsFor(found.config));
      },
    );
  });
});

function labelsFor(config: ModelConfig): readonly string[] {
  return Array.from({ length: config.classes }, (_, index) => `class ${String(index)}`);
}

function again(naming: 'timm' | 'hugging-face', { config, weights }: Recognised): Recognised {
  const foreign = foreignWeights(naming, config, weights);
  if (naming === 'timm') return recognise(foreign, thimble(config), NO_FILES);
  const json: unknown = JSON.parse(JSON.stringify(huggingFaceConfig(config, labelsFor(config))));
  return recognise(foreign, NONE, { config: json, preprocessor: null });
}

function thimble(config: ModelConfig): ReadonlyMap<string, string> {
  return new Map([['thimble.config', JSON.stringify(config)]]);
}

describe('recognise', () => {
  const vit = caseOf('timm', 'vit');
  const hf = caseOf('hugging-face', 'vit');

  it('describes the model in a line', () => {
    const line = (library: (typeof LIBRARIES)[number], name: string) => {
      const { source, sidecars } = caseOf(library, name);
      return recognise(source, NONE, sidecars).description;
    };
    expect(line('timm', 'vit')).toBe('ViT-16x2/4, 16 px, 5 classes, timm names');
    expect(line('timm', 'deit-distilled')).toBe(
      'DeiT-16x2/4 with distillation token, 16 px, 5 classes, timm names',
    );
    expect(line('hugging-face', 'vit-backbone')).toBe(
      'ViT-16x2/4, 16 px, no classifier, Hugging Face names',
    );
    expect(line('torchvision', 'vit')).toBe(
      'ViT-128x1/4, 8 px, 5 classes, torchvision names; ' +
        'the number of heads, 2, is a guess: 64 columns each',
    );
    expect(line('torchvision', 'swin')).toBe(
      'Swin-16 wide, 2,2 blocks, window 4, 16 px, 5 classes, torchvision names; ' +
        '16 px is a guess: the last stage is one window',
    );
  });

  it('lists what it ignores', () => {
    const { source, sidecars } = caseOf('timm', 'swin-former');
    expect(recognise(source, NONE, sidecars).ignored).toEqual([
      'layers.0.blocks.0.attn.relative_position_index',
      'layers.0.blocks.1.attn_mask',
    ]);
    const backbone = caseOf('hugging-face', 'vit-backbone');
    expect(recognise(backbone.source, NONE, backbone.sidecars).ignored).toEqual([
      'pooler.dense.bias',
      'pooler.dense.weight',
    ]);
  });

  it.each(['module.', 'model.', 'backbone.', 'module.model.'])('takes %s off all names', (wrap) => {
    const wrapped = renamed(vit.source, (name) => wrap + name);
    const found = recognise(wrapped, NONE, vit.sidecars);
    expectSame(recognise(vit.source, NONE, vit.sidecars).weights, found.weights);
  });

  it('does not take wrappers off without end', () => {
    const wrapped = renamed(vit.source, (name) => 'model.'.repeat(50_000) + name);
    expect(() => recognise(wrapped, NONE, vit.sidecars)).toThrow(CheckpointError);
  });

  it('reads transformers without the prefix of the model, and with that of DeiT', () => {
    const bare = renamed(hf.source, (name) => name.replace(/^vit\./, ''));
    const deit = renamed(hf.source, (name) => name.replace(/^vit\./, 'deit.'));
    const { weights } = recognise(hf.source, NONE, hf.sidecars);
    expectSame(weights, recognise(bare, NONE, hf.sidecars).weights);
    expectSame(weights, recognise(deit, NONE, hf.sidecars).weights);
  });

  it('reads a config.json without a type as that of the family that the tensors tell', () => {
    for (const name of ['vit', 'swin']) {
      const { source, sidecars } = caseOf('hugging-face', name);
      const config = { ...(sidecars.config as object), model_type: undefined };
      const found = recognise(source, NONE, { config, preprocessor: null });
      expect(found.config).toEqual(recognise(source, NONE, sidecars).config);
    }
  });

  it('leaves metadata of others alone that only look like its own', () => {
    const words = new Map([
      ['classes', 'many'],
      ['preprocess', 'none'],
      ['model', 'mine'],
    ]);
    const found = recognise(vit.source, words, vit.sidecars);
    expect(found.naming).toBe('timm');
    expect(found.labels).toEqual(['kind 0', 'kind 1', 'kind 2', 'kind 3', 'kind 4']);
  });
});

/** The text of the error. */
function refusal(given: Case, changes: Parameters<typeof altered>[1], config?: object): string {
  const sidecars = config
    ? { config: { ...(given.sidecars.config as object), ...config }, preprocessor: null }
    : given.sidecars;
  try {
    recognise(altered(given.source, changes), NONE, sidecars);
  } catch (error) {
    if (error instanceof Error) return `${error.name}: ${error.message}`;
  }
  return 'nothing thrown';
}

describe('a checkpoint that does not fit', () => {
  const vit = caseOf('timm', 'vit');
  const hf = caseOf('hugging-face', 'vit');
  const swin = caseOf('timm', 'swin');

  it('lists missing tensors', () => {
    expect(refusal(vit, { 'blocks.1.attn.proj.weight': null, 'norm.bias': null })).toBe(
      'CheckpointError: vit: expected the 32 parameters of what it looks like: ViT-16x2/4, 16 px, ' +
        '5 classes, timm names, got 2 missing: blocks.1.attn.proj.weight, norm.bias. Thimble reads ' +
        'plain ViT, DeiT, Swin transformers, MobileNets, EfficientNets and ResNets; this is another model or a damaged file.',
    );
  });

  it('lists extra tensors and says what part they are', () => {
    const changes = {
      'blocks.0.ls1.gamma': [16],
      'blocks.0.ls2.gamma': [16],
      reg_token: [1, 4, 16],
    };
    expect(refusal(vit, changes)).toContain(
      'got 3 with no place in it: blocks.0.ls1.gamma, blocks.0.ls2.gamma, reg_token ' +
        '(layer scale, register tokens)',
    );
    expect(refusal(vit, { 'norm_pre.weight': [16] })).toContain('(a norm before the blocks)');
    expect(refusal(hf, { 'vit.layer_scale': [16] })).toContain('(layer scale)');
  });

  it('does not take attention without a bias for one of zeros', () => {
    const qkv = { 'blocks.0.attn.qkv.bias': null, 'blocks.1.attn.qkv.bias': null };
    expect(refusal(vit, qkv)).toContain(
      '2 missing: blocks.0.attn.qkv.bias, blocks.1.attn.qkv.bias (attention without a bias)',
    );
  });

  it('says what it found where it knows nothing', () => {
    const changes = Object.fromEntries([...vit.source.shapes.keys()].map((name) => [name, null]));
    const cnn = { 'conv1.weight': [64, 3, 7, 7], 'layer1.0.conv1.weight': [64, 64, 3, 3] };
    const text = refusal(vit, { ...changes, ...cnn }, { architecture: 'resnet18' });
    expect(text).toBe(
      'CheckpointError: vit: expected a ViT, DeiT, Swin transformer, MobileNet, EfficientNet or ResNet under names of timm, Hugging ' +
        'Face or torchvision, got 2 tensors such as conv1.weight, layer1.0.conv1.weight; 2 of them ' +
        'convolutions; config.json says resnet18. Choose a checkpoint of one of these; thimble info ' +
        'lists what is in the file.',
    );
  });

  it('names a tensor of another shape', () => {
    expect(refusal(vit, { 'blocks.1.mlp.fc1.weight': [60, 16] })).toContain(
      'vit, tensor blocks.1.mlp.fc1.weight: expected shape [64, 16] in ViT-16x2/4',
    );
    expect(refusal(vit, { pos_embed: [1, 16, 16] })).toContain(
      'tensor pos_embed: expected shape [1, 1 + a square number, width], got [1, 16, 16]',
    );
    expect(refusal(vit, { 'patch_embed.proj.weight': [16, 3, 4, 8] })).toContain(
      'expected shape [width, 3, patch, patch] for colour images, got [16, 3, 4, 8]',
    );
    expect(refusal(vit, { pos_embed: [1, 16, 16], reg_token: [1, 4, 16] })).toContain(
      'got [1, 16, 16] in a model with register tokens',
    );
    const table = 'layers.0.blocks.0.attn.relative_position_bias_table';
    expect(refusal(swin, { [table]: [48, 2] })).toContain('expected shape [(2w − 1)², heads]');
    const key = 'vit.encoder.layer.0.attention.attention.key.weight';
    expect(refusal(hf, { [key]: [8, 16] })).toContain(
      `tensor ${key}: expected shape [16, 16] in ViT-16x2/4, 16 px, 5 classes, Hugging Face names, got [8, 16]`,
    );
  });

  it('wants colour images', () => {
    expect(refusal(vit, { 'patch_embed.proj.weight': [16, 1, 4, 4] })).toContain(
      'expected shape [width, 3, patch, patch] for colour images, got [16, 1, 4, 4]',
    );
  });

  it('compares what config.json says with the tensors', () => {
    expect(refusal(hf, {}, { num_hidden_layers: 12 })).toBe(
      'CheckpointError: vit: expected depth 12, as config.json says, got 2 in the tensors. Use the ' +
        'files of one and the same model.',
    );
    expect(refusal(hf, {}, { image_size: 224 })).toContain('expected image size 224');
    expect(refusal(hf, {}, { model_type: 'swin' })).toContain('expected architecture swin');
    expect(refusal(vit, {}, { architecture: 'swin_tiny_patch4_window7_224' })).toContain(
      'expected architecture swin, as config.json says, got vit in the tensors',
    );
    expect(refusal(hf, {}, { num_attention_heads: 5 })).toContain(
      'expected a number of heads that divides the width 16, got 5',
    );
    expect(refusal(swin, {}, { model_args: { depths: [2, 6], num_heads: [2, 4] } })).toContain(
      'expected depths 2,6',
    );
  });

  it('refuses what Thimble has not', () => {
    expect(refusal(hf, {}, { hidden_act: 'quick_gelu' })).toBe(
      'CheckpointError: config.json, hidden_act: expected gelu or gelu_python, got quick_gelu. ' +
        'Thimble has no such model; choose a plain ViT, DeiT, Swin transformer, MobileNet, EfficientNet or ResNet.',
    );
    expect(refusal(hf, {}, { model_type: 'beit' })).toContain('got beit');
    expect(refusal(hf, {}, { qkv_bias: false })).toContain('config.json, qkv_bias: expected true');
    expect(refusal(hf, {}, { image_size: [16, 32] })).toContain('expected a square, got [16,32]');
    expect(refusal(vit, {}, { global_pool: 'avg' })).toContain('expected pooling mean');
    expect(refusal(vit, {}, { architecture: 'vit_base_patch32_clip_224' })).toContain('clip');
  });

  it.each([
    ['hidden_size', -16],
    ['hidden_size', '16'],
    ['num_hidden_layers', 1e9],
    ['num_attention_heads', null],
    ['num_attention_heads', 0],
    ['num_attention_heads', 2.5],
    ['layer_norm_eps', -1e-6],
    ['layer_norm_eps', 'small'],
    ['patch_size', []],
    ['id2label', 'cats'],
    ['id2label', { 0: 'a', 2: 'b' }],
    ['id2label', { 0: 'a', 1: 7 }],
  ])('refuses %s = %o in config.json', (key, value) => {
    expect(refusal(hf, {}, { [key]: value })).toMatch(
      new RegExp(`^CheckpointError: (vit, )?config.json, ${key}: expected .*, got `),
    );
  });

  it('wants as many labels as the classifier has outputs', () => {
    expect(refusal(hf, {}, { id2label: { 0: 'cat', 1: 'dog' } })).toBe(
      'CheckpointError: vit, config.json, id2label: expected 5 names, one for each output of the ' +
        'classifier, got 2. Use the labels of this model.',
    );
  });

  it('asks for the heads where nothing tells them', () => {
    const nothing = { ...vit, sidecars: NO_FILES };
    expect(refusal(nothing, {})).toContain(
      'config.json with the number of heads, since 16 columns',
    );
  });
});

describe('any config.json', () => {
  const values = [null, -1, 0, 2.5, 1e9, 1e300, '', 'x', [], [3], [0, -2], {}, { a: 1 }, true];
  const CASES = [
    caseOf('hugging-face', 'vit'),
    caseOf('hugging-face', 'swin'),
    caseOf('timm', 'swin'),
  ];

  it.each(CASES.map((given) => [given.name, given] as const))(
    'of %s is understood or refused in words',
    (_, given) => {
      const config = given.sidecars.config as Readonly<Record<string, unknown>>;
      let refused = 0;
      for (const key of [...Object.keys(config), 'model_args', 'pretrained_cfg', 'qkv_bias']) {
        for (const value of values) {
          const sidecars = { config: { ...config, [key]: value }, preprocessor: null };
          try {
            recognise(given.source, NONE, sidecars);
          } catch (error) {
            expect(error, `${key} = ${JSON.stringify(value)}`).toBeInstanceOf(CheckpointError);
            refused++;
          }
        }
      }
      expect(refused).toBeGreaterThan(40);
    },
  );
});
