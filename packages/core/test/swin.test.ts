/**
 * The Swin transformer: names, order and number of parameters as timm has them, shapes that methods see,
 * what the last blocks are, configurations that cannot be built. Its numbers are tested in
 * swin-golden.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { recognise } from '../src/checkpoints/index.js';
import { ConfigError } from '../src/errors.js';
import { parameters } from '../src/ir/graph.js';
import { elements, f32, typeText } from '../src/ir/types.js';
import { parseMethod } from '../src/methods/index.js';
import { buildModel, imageSizeRule, modelConfig } from '../src/models/index.js';
import { swin, type SwinConfig } from '../src/models/swin/model.js';
import { SWIN_PRESETS } from '../src/models/swin/presets.js';
import { windows } from '../src/ops/windows.js';
import { matchWeights, type WeightSource } from '../src/train/weights.js';
import { runReference } from './ops-evaluate.js';

const SMALL: SwinConfig = {
  family: 'swin',
  imageSize: 16,
  patch: 2,
  channels: 3,
  width: 8,
  depths: [1, 2],
  heads: [1, 2],
  window: 4,
  mlpRatio: 4,
  classes: 3,
  layerNormEps: 1e-5,
};

describe('parameters', () => {
  it('swin-tiny has those of swin_tiny_patch4_window7_224', () => {
    const all = parameters(buildModel(modelConfig('swin-tiny'), { batch: 1 }).graph);
    // sum(p.numel() for p in timm.create_model(name, num_classes=1000).parameters())
    expect(all.reduce((sum, { type }) => sum + elements(type.shape), 0)).toBe(28_288_354);
    // 12 blocks of 13 tensors, embedding and its norm of 4, 3 mergings of 3, norm and classifier of 4.
    expect(all).toHaveLength(12 * 13 + 4 + 9 + 4);
  });

  it('have the names and shapes of timm', () => {
    const text = parameters(swin({ ...SMALL, depths: [1, 1] }, { batch: 1 }).graph)
      .map(({ name, type }) => `${name}: ${typeText(type)}`)
      .join('\n');
    expect(text).toMatchInlineSnapshot(`
      "patch_embed.proj.weight: f32[8,3,2,2]
      patch_embed.proj.bias: f32[8]
      patch_embed.norm.weight: f32[8]
      patch_embed.norm.bias: f32[8]
      layers.0.blocks.0.norm1.weight: f32[8]
      layers.0.blocks.0.norm1.bias: f32[8]
      layers.0.blocks.0.attn.qkv.weight: f32[24,8]
      layers.0.blocks.0.attn.qkv.bias: f32[24]
      layers.0.blocks.0.attn.relative_position_bias_table: f32[49,1]
      layers.0.blocks.0.attn.proj.weight: f32[8,8]
      layers.0.blocks.0.attn.proj.bias: f32[8]
      layers.0.blocks.0.norm2.weight: f32[8]
      layers.0.blocks.0.norm2.bias: f32[8]
      layers.0.blocks.0.mlp.fc1.weight: f32[32,8]
      layers.0.blocks.0.mlp.fc1.bias: f32[32]
      layers.0.blocks.0.mlp.fc2.weight: f32[8,32]
      layers.0.blocks.0.mlp.fc2.bias: f32[8]
      layers.1.downsample.norm.weight: f32[32]
      layers.1.downsample.norm.bias: f32[32]
      layers.1.downsample.reduction.weight: f32[16,32]
      layers.1.blocks.0.norm1.weight: f32[16]
      layers.1.blocks.0.norm1.bias: f32[16]
      layers.1.blocks.0.attn.qkv.weight: f32[48,16]
      layers.1.blocks.0.attn.qkv.bias: f32[48]
      layers.1.blocks.0.attn.relative_position_bias_table: f32[49,2]
      layers.1.blocks.0.attn.proj.weight: f32[16,16]
      layers.1.blocks.0.attn.proj.bias: f32[16]
      layers.1.blocks.0.norm2.weight: f32[16]
      layers.1.blocks.0.norm2.bias: f32[16]
      layers.1.blocks.0.mlp.fc1.weight: f32[64,16]
      layers.1.blocks.0.mlp.fc1.bias: f32[64]
      layers.1.blocks.0.mlp.fc2.weight: f32[16,64]
      layers.1.blocks.0.mlp.fc2.bias: f32[16]
      norm.weight: f32[16]
      norm.bias: f32[16]
      head.fc.weight: f32[3,16]
      head.fc.bias: f32[3]"
    `);
  });

  it('belong to blocks, downsampling, tail or head by prefix', () => {
    const { graph, blocks, downsampling = {}, tail, head } = swin(SMALL, { batch: 1 });
    expect(blocks).toEqual(['layers.0.blocks.0.', 'layers.1.blocks.0.', 'layers.1.blocks.1.']);
    expect(downsampling).toEqual({ 'layers.1.blocks.0.': 'layers.1.downsample.' });
    const prefixes = [...blocks, ...Object.values(downsampling), ...tail, head];
    const rest = parameters(graph)
      .map(({ name }) => name)
      .filter((name) => !prefixes.some((prefix) => name.startsWith(prefix)));
    expect(rest).toEqual([
      'patch_embed.proj.weight',
      'patch_embed.proj.bias',
      'patch_embed.norm.weight',
      'patch_embed.norm.bias',
    ]);
  });

  it('of a downsampling learn with the block behind it', () => {
    const trained = (k: number) =>
      parameters(parseMethod(`last-k=${String(k)}`).forward(swin(SMALL, { batch: 1 })).graph)
        .filter(({ source }) => source.trainable)
        .map(({ name }) => name.split('.').slice(0, 3).join('.'));
    const tail = ['norm.weight', 'norm.bias', 'head.fc.weight', 'head.fc.bias'];
    const once = (names: readonly string[]) => [...new Set(names)];
    expect(once(trained(1))).toEqual(['layers.1.blocks', ...tail]);
    expect(trained(1)).toHaveLength(13 + 4);
    expect(once(trained(2))).toEqual(['layers.1.downsample', 'layers.1.blocks', ...tail]);
    expect(trained(2)).toHaveLength(3 + 2 * 13 + 4);
    expect(trained(3)).toHaveLength(3 + 3 * 13 + 4);
  });
});

describe('checkpoints', () => {
  const model = swin(
    { ...SMALL, imageSize: 16, depths: [1, 1, 1], heads: [1, 2, 2] },
    { batch: 1 },
  );
  const shapes = new Map(parameters(model.graph).map(({ name, type }) => [name, type.shape]));
  const sourceOf = (renamed: (name: string) => string): WeightSource => {
    const stored = new Map([...shapes].map(([name, shape]) => [renamed(name), shape]));
    // Every tensor holds its place in the file.
    const places = [...stored.keys()];
    return {
      name: 'old.safetensors',
      shapes: stored,
      read: (name) => Float32Array.of(places.indexOf(name)),
    };
  };
  const names = [...shapes.keys()];

  it('of the names before timm 0.9 are read under the names of today', () => {
    const before = sourceOf((name) =>
      name
        .replace('head.fc.', 'head.')
        .replace(
          /layers\.(\d)\.downsample/,
          (_, stage) => `layers.${String(stage - 1)}.downsample`,
        ),
    );
    expect(before.shapes.has('layers.0.downsample.reduction.weight')).toBe(true);
    const { weights } = recognise(before, new Map(), { config: null, preprocessor: null });
    const { read, report } = matchWeights(model, weights, 0);
    expect(names.map((name) => read(name)[0])).toEqual(names.map((_, place) => place));
    expect(report).toEqual({ loaded: names.length, replaced: [], resized: [], unused: [] });
  });

  it('of the names of today are read as they are', () => {
    const { read } = matchWeights(
      model,
      sourceOf((name) => name),
      0,
    );
    expect(names.map((name) => read(name)[0])).toEqual(names.map((_, place) => place));
  });
});

describe('shapes', () => {
  it('are images in an MLP and windows in attention', () => {
    const { graph } = swin(SWIN_PRESETS['swin-tiny'], { batch: 2 });
    const inputOf = (name: string) => {
      const node = graph.nodes.find((candidate) => candidate.name === name);
      if (!node) throw new Error(`no node ${name}`);
      return typeText(graph.values[node.inputs.a].type);
    };
    expect(inputOf('layers.0.blocks.1.mlp.fc1')).toBe('f32[2,56,56,96]');
    expect(inputOf('layers.0.blocks.1.mlp.fc2')).toBe('f32[2,56,56,384]');
    expect(inputOf('layers.0.blocks.1.attn.qkv')).toBe('f32[128,49,96]');
    expect(inputOf('layers.3.blocks.1.attn.proj')).toBe('f32[2,49,768]');
    expect(inputOf('layers.3.downsample.reduction')).toBe('f32[2,7,7,1536]');
  });

  it('shift every second block, but not where the window is the whole stage', () => {
    const { graph } = swin(SWIN_PRESETS['swin-tiny'], { batch: 1 });
    const shifts = graph.nodes
      .filter((node) => node.op === 'attention')
      .map((node) => node.params.shift ?? 0);
    expect(shifts).toEqual([0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 0]);
  });

  it('take a window no larger than the stage', () => {
    const tables = (imageSize: number) =>
      parameters(swin({ ...SMALL, imageSize }, { batch: 1 }).graph)
        .filter(({ name }) => name.endsWith('table'))
        .map(({ type }) => typeText(type));
    expect(tables(16)).toEqual(['f32[49,1]', 'f32[49,2]', 'f32[49,2]']);
    expect(tables(8)).toEqual(['f32[49,1]', 'f32[9,2]', 'f32[9,2]']);
  });
});

it('patches merge in the order (0,0), (1,0), (0,1), (1,1) of row and column', () => {
  const x = Float64Array.from({ length: 8 }, (_, i) => i);
  const params = { window: 2, shift: 0, columnMajor: true, inverse: false, height: 2, width: 4 };
  const { y } = runReference(windows, { x }, { x: f32(1, 2, 4, 1) }, params);
  expect([...y]).toEqual([0, 4, 1, 5, 2, 6, 3, 7]);
});

describe('errors', () => {
  const todo = 'Change the model configuration.';
  it.each<readonly [Partial<SwinConfig>, string]>([
    [
      { imageSize: 20 },
      'swin, imageSize: expected a size that windows of 4 patches tile in all 2 stages (the next is ' +
        '32), got 20.',
    ],
    [
      { imageSize: 9 },
      'swin, imageSize: expected a size that windows of 4 patches tile in all 2 stages (the next is ' +
        '16), got 9.',
    ],
    [{ heads: [1, 3] }, 'swin, width: expected a width whose stage 1 divides into 3 heads, got 8.'],
    [{ heads: [1] }, 'swin, heads: expected 2 numbers, one for each stage, got 1.'],
    [{ depths: [] }, 'swin, depths: expected a list of 1 to 8 values, got 0.'],
    [{ depths: [1, 0] }, 'swin, depths[1]: expected a whole number from 1 to 256, got 0.'],
    [{ depths: [200, 57] }, 'swin, depths: expected at most 256 blocks, got 257.'],
    [
      { imageSize: 8190 },
      'swin, imageSize: expected a size that windows of 4 patches tile in all 2 stages (the next is ' +
        '8192), got 8190.',
    ],
    [
      { imageSize: 8190, window: 5 },
      'swin, imageSize: expected a size that windows of 5 patches tile in all 2 stages (no larger ' +
        'one does), got 8190.',
    ],
    [{ width: 65_536 }, 'swin, width: expected at most 65536 in the last stage, got 131072.'],
    [{ window: 0 }, 'swin, window: expected a whole number from 1 to 8192, got 0.'],
    [{ patch: 1.5 }, 'swin, patch: expected a whole number from 1 to 8192, got 1.5.'],
    [{ mlpRatio: 0 }, 'swin, mlpRatio: expected a finite number above 0 up to 64, got 0.'],
    [
      { layerNormEps: 0 },
      'swin, layerNormEps: expected a finite number from 1e-30 up to 1, got 0.',
    ],
  ])('refuses %o', (change, message) => {
    const build = () => swin({ ...SMALL, ...change }, { batch: 1 });
    expect(build).toThrow(ConfigError);
    expect(build).toThrow(`${message} ${todo}`);
  });

  it('tells which image sizes fit', () => {
    expect(imageSizeRule(modelConfig('swin-tiny'))).toBeNull();
    expect(imageSizeRule({ ...SWIN_PRESETS['swin-tiny'], imageSize: 448 })).toBeNull();
    expect(imageSizeRule({ ...SWIN_PRESETS['swin-tiny'], imageSize: 256 })).toBe(
      'a size that windows of 7 patches tile in all 4 stages (the next is 448)',
    );
  });
});
