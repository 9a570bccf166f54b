/** What a checkpoint that Thimble saved says of itself: taken, compared with the tensors, never believed. */
import { describe, expect, it } from 'vitest';
import { recognise } from '../src/checkpoints/index.js';
import { buildModel, MODELS } from '../src/models/index.js';
import type { WeightSource } from '../src/train/weights.js';
import { altered, caseOf } from './checkpoint-cases.js';

const NONE = new Map<string, string>();
const NO_FILES = { config: null, preprocessor: null };

describe('metadata of a run', () => {
  it('names the preset where it is one', () => {
    const { source, metadata } = microCheckpoint();
    expect(recognise(source, metadata, NO_FILES).modelName).toBe('vit-micro');
    const vit = caseOf('timm', 'vit');
    expect(recognise(vit.source, NONE, vit.sidecars).modelName).toBeNull();
  });

  it('knows a run of Thimble by its metadata: 4 heads, where width / 64 would be 2', () => {
    const { source, metadata } = microCheckpoint();
    const found = recognise(source, metadata, NO_FILES);
    expect(found.naming).toBe('thimble');
    expect(found.config).toMatchObject({ heads: 4, width: 128, classes: 3, imageSize: 32 });
    expect(found.labels).toEqual(['a', 'b', 'c']);
  });

  it.each([
    ['thimble.config', '{', 'metadata thimble.config: expected JSON, got no JSON: "{"'],
    ['thimble.config', micro({ heads: -4 }), 'thimble.config, heads: expected a whole number'],
    ['thimble.config', micro({ heads: 5 }), 'thimble.config, width: expected a multiple of the 5'],
    ['thimble.config', micro({ depth: 1e7 }), 'thimble.config, depth: expected a whole number'],
    ['thimble.config', micro({ depth: undefined }), 'thimble.config, depth: expected a whole'],
    ['thimble.config', micro({ layerNormEps: 1e-320 }), 'thimble.config, layerNormEps: expected'],
    ['thimble.config', micro({ pooling: 'mean' }), 'expected pooling mean, as metadata thimble'],
    ['thimble.config', micro({ imageSize: 64 }), 'expected image size 64, as metadata thimble'],
    ['thimble.config', micro({ mlpRatio: 2 }), 'expected hidden units 256, as metadata thimble'],
    ['thimble.config', 'null', 'metadata thimble.config: expected an object, got null'],
    [
      'thimble.config',
      micro({ width: 192 }),
      'expected width 192, as metadata thimble.config says, got 128',
    ],
    ['classes', '["a","b"]', 'metadata classes: expected 3 names, one for each output'],
    ['classes', '{"a":1}', 'metadata classes: expected a list, got {"a":1}'],
    ['classes', '["a","b",3]', 'metadata classes, [2]: expected a text, got 3'],
    ['classes', '[]', 'metadata classes: expected a list of 1 to 1000000 values, got 0'],
    ['preprocess', '[]', 'metadata preprocess: expected an object, got []'],
    ['preprocess', '{"size":16}', 'metadata preprocess, cropPercentage: expected a finite number'],
    ['preprocess', '['.repeat(1e5), 'metadata preprocess: expected JSON, got more than 64 nested'],
  ])('checks its own metadata: %s %s', (key, text, message) => {
    const { source, metadata } = microCheckpoint();
    const changed = new Map([...metadata, [key, text] as const]);
    expect(() => recognise(source, changed, NO_FILES)).toThrow(message);
  });

  it('passes factors through, dense or not', () => {
    const { source, metadata } = microCheckpoint();
    const weight = 'blocks.0.mlp.fc1.weight';
    const sides = { [`${weight}.left`]: [512, 8], [`${weight}.right`]: [8, 128] };
    const low = recognise(altered(source, { [weight]: null, ...sides }), metadata, NO_FILES);
    expect(low.weights.shapes.has(weight)).toBe(false);
    expect(low.weights.shapes.get(`${weight}.left`)).toEqual([512, 8]);
    const adapted = recognise(altered(source, sides), metadata, NO_FILES);
    expect(adapted.weights.shapes.has(weight)).toBe(true);
    expect(adapted.weights.shapes.get(`${weight}.right`)).toEqual([8, 128]);
  });
});

/** vit-micro with three classes, changed, as thimble.config says it. */
function micro(changes: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...MODELS['vit-micro'], classes: 3, ...changes });
}

/** What a run of vit-micro with three classes saved before `thimble.config` was written. */
function microCheckpoint() {
  const model = buildModel({ ...MODELS['vit-micro'], classes: 3 }, { batch: 1 });
  const leaves = model.graph.values.filter(({ source }) => source.kind === 'parameter');
  const source: WeightSource = {
    name: 'model.safetensors',
    shapes: new Map(leaves.map(({ name, type }) => [name, type.shape])),
    read: () => new Float32Array(),
  };
  const metadata = new Map([
    ['model', 'vit-micro'],
    ['classes', '["a","b","c"]'],
  ]);
  return { source, metadata };
}
