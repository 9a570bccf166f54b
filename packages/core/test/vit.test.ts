/**
 * The vision transformer: names, order and number of parameters as timm has them, starting values,
 * and configurations that cannot be built. Its numbers are tested in vit-golden.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { ConfigError, UnknownNameError } from '../src/errors.js';
import { parameters, type Parameter } from '../src/ir/graph.js';
import { elements, typeText } from '../src/ir/types.js';
import { modelConfig } from '../src/models/index.js';
import { tokenCount, vit, type VitConfig } from '../src/models/vit/model.js';
import { VIT_PRESETS } from '../src/models/vit/presets.js';
import { initialValues } from '../src/nn/initialise.js';
import { SMALL, TINY } from './tiny-vit.js';

const parametersOf = (config: VitConfig) => parameters(vit(config, { batch: 1 }).graph);
const countOf = (config: VitConfig) =>
  parametersOf(config).reduce((sum, { type }) => sum + elements(type.shape), 0);

describe('parameters', () => {
  // sum(p.numel() for p in timm.create_model(name, num_classes=1000).parameters()) of timm 1.0:
  // vit_tiny_patch16_224, vit_small_patch16_224, vit_base_patch16_224, vit_base_patch32_224.
  it.each<readonly [keyof typeof VIT_PRESETS, number, number]>([
    ['vit-tiny-16', 197, 5_717_416],
    ['vit-small-16', 197, 22_050_664],
    ['vit-base-16', 197, 86_567_656],
    ['vit-base-32', 50, 88_224_232],
  ])('%s: %i tokens, %i values', (name, tokens, count) => {
    const config = VIT_PRESETS[name];
    expect(tokenCount(config)).toBe(tokens);
    expect(countOf(config)).toBe(count);
    // 12 blocks of 12 tensors, embedding of 4, final norm and classifier of 2 each.
    expect(parametersOf(config)).toHaveLength(152);
  });

  it('of vit-micro are counted by hand', () => {
    const block = 4 * 128 + 3 * 128 * 129 + 128 * 129 + 512 * 129 + 128 * 513;
    const embedding = 128 * (48 + 1) + 128 + 65 * 128;
    expect(countOf(VIT_PRESETS['vit-micro'])).toBe(embedding + 6 * block + 256 + 1000 * 129);
  });

  it('have the names, shapes and decay of timm, in the order of the forward pass', () => {
    const text = ({ name, type, source }: Parameter) =>
      `${name} ${typeText(type)}${source.decay ? ' decay' : ''}`;
    expect(parametersOf({ ...SMALL, depth: 1 }).map(text)).toEqual([
      'patch_embed.proj.weight f32[12,3,4,4] decay',
      'patch_embed.proj.bias f32[12]',
      'cls_token f32[1,1,12]',
      'pos_embed f32[1,10,12]',
      'blocks.0.norm1.weight f32[12]',
      'blocks.0.norm1.bias f32[12]',
      'blocks.0.attn.qkv.weight f32[36,12] decay',
      'blocks.0.attn.qkv.bias f32[36]',
      'blocks.0.attn.proj.weight f32[12,12] decay',
      'blocks.0.attn.proj.bias f32[12]',
      'blocks.0.norm2.weight f32[12]',
      'blocks.0.norm2.bias f32[12]',
      'blocks.0.mlp.fc1.weight f32[48,12] decay',
      'blocks.0.mlp.fc1.bias f32[48]',
      'blocks.0.mlp.fc2.weight f32[12,48] decay',
      'blocks.0.mlp.fc2.bias f32[12]',
      'norm.weight f32[12]',
      'norm.bias f32[12]',
      'head.weight f32[5,12] decay',
      'head.bias f32[5]',
    ]);
  });

  it('with mean pooling have fc_norm instead of norm, and no class token when there is none', () => {
    const names = (config: VitConfig) => parametersOf(config).map(({ name }) => name);
    const mean = { ...TINY, depth: 1, pooling: 'mean' } as const;
    const common = names({ ...TINY, depth: 1 });
    const renamed = common.map((name) => name.replace(/^norm\./, 'fc_norm.'));
    expect(names(mean)).toEqual(renamed);
    expect(names({ ...mean, classToken: false })).toEqual(
      renamed.filter((name) => name !== 'cls_token'),
    );
    expect(tokenCount({ ...mean, classToken: false })).toBe(4);
  });

  it('belong to blocks, tail or head by prefix', () => {
    const { graph, blocks, tail, head } = vit(SMALL, { batch: 1 });
    expect(blocks).toEqual(['blocks.0.', 'blocks.1.', 'blocks.2.']);
    const prefixes = [...blocks, ...tail, head];
    const rest = parameters(graph)
      .map(({ name }) => name)
      .filter((name) => !prefixes.some((prefix) => name.startsWith(prefix)));
    expect(rest).toEqual([
      'patch_embed.proj.weight',
      'patch_embed.proj.bias',
      'cls_token',
      'pos_embed',
    ]);
  });
});

describe('starting values', () => {
  const start = ({ name, type, source }: Parameter, seed = 1) =>
    initialValues(source.initial, type.shape, seed, name);
  const byName = (name: string) => {
    const found = parametersOf(VIT_PRESETS['vit-micro']).find((p) => p.name === name);
    if (!found) throw new Error(`no parameter ${name}`);
    return found;
  };

  it('are the same for the same seed and name, whatever else the model has', () => {
    const weight = byName('blocks.3.attn.qkv.weight');
    expect(start(weight)).toEqual(start(weight));
    expect(start(weight, 2)).not.toEqual(start(weight, 1));
    const other = byName('blocks.4.attn.qkv.weight');
    expect(start(other)).not.toEqual(start(weight));
    expect(Array.from(start(weight).slice(0, 3))).toMatchInlineSnapshot(`
      [
        0.07678434997797012,
        0.06059074029326439,
        0.07427125424146652,
      ]
    `);
  });

  // A normal of deviation σ, cut at ±2σ, has the deviation 0.8796σ; a uniform in ±b has b/√3.
  it.each([
    ['blocks.0.attn.qkv.weight', Math.sqrt(2 / (128 + 384)), Math.sqrt(6 / (128 + 384))],
    ['head.weight', Math.sqrt(2 / (128 + 1000)), Math.sqrt(6 / (128 + 1000))],
    ['pos_embed', 0.02 * 0.8796, 0.04],
    ['patch_embed.proj.weight', 0.8796 / Math.sqrt(48), 2 / Math.sqrt(48)],
    ['cls_token', 1e-6, 5e-6],
  ])('of %s have deviation %f and stay within %f', (name, deviation, bound) => {
    const values = start(byName(name));
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
    // Four standard errors of mean and deviation.
    const error = 4 / Math.sqrt(values.length);
    expect(Math.abs(mean)).toBeLessThan(error * deviation);
    expect(Math.abs(Math.sqrt(variance) / deviation - 1)).toBeLessThan(error);
    expect(values.every((x) => Math.abs(x) <= Math.fround(bound))).toBe(true);
  });

  it('of biases are zero and of norms one', () => {
    for (const parameter of parametersOf(TINY)) {
      const constant = /norm\d?\.weight$/.test(parameter.name) ? 1 : 0;
      if (!parameter.name.endsWith('.bias') && constant === 0) continue;
      expect(
        start(parameter).every((x) => x === constant),
        parameter.name,
      ).toBe(true);
    }
  });
});

describe('errors', () => {
  const todo = 'Change the model configuration.';
  it.each<readonly [Partial<VitConfig>, string]>([
    [{ imageSize: 5 }, 'vit, imageSize: expected a multiple of the patch 2, got 5.'],
    [{ width: 5 }, 'vit, width: expected a multiple of the 2 heads, got 5.'],
    [{ depth: 0 }, 'vit, depth: expected a whole number from 1 to 256, got 0.'],
    [{ classes: 2.5 }, 'vit, classes: expected a whole number from 1 to 1000000, got 2.5.'],
    [{ channels: NaN }, 'vit, channels: expected a whole number from 1 to 64, got NaN.'],
    [{ mlpRatio: 0 }, 'vit, mlpRatio: expected a finite number above 0 up to 64, got 0.'],
    [
      { layerNormEps: -1 },
      'vit, layerNormEps: expected a finite number from 1e-30 up to 1, got -1.',
    ],
    [{ mlpRatio: 1e-9 }, 'vit, mlpRatio: expected at least one hidden unit, got 1e-9.'],
    [{ depth: 1e7 }, 'vit, depth: expected a whole number from 1 to 256, got 10000000.'],
    [{ imageSize: 4e5 }, 'vit, imageSize: expected a whole number from 1 to 8192, got 400000.'],
    [{ imageSize: 1026 }, 'vit, imageSize: expected at most 512 patches along a side, got 513.'],
    [{ width: Infinity }, 'vit, width: expected a whole number from 1 to 65536, got Infinity.'],
    [{ layerNormEps: 1e-320 }, 'vit, layerNormEps: expected a finite number from 1e-30 up to 1,'],
    [{ classToken: false }, 'vit, pooling: expected mean without a class token, got token.'],
  ])('refuses %o', (change, message) => {
    const build = () => vit({ ...TINY, ...change }, { batch: 1 });
    expect(build).toThrow(ConfigError);
    expect(build).toThrow(message);
    expect(build).toThrow(todo);
  });

  it('names the nearest preset', () => {
    expect(() => modelConfig('vit-tiny')).toThrow(UnknownNameError);
    expect(() => modelConfig('vit-tiny')).toThrow('The nearest is "vit-tiny-16".');
  });
});
