/** NaN and infinities are found wherever they are, and no finite number is taken for one. */
import { describe, expect, it } from 'vitest';
import { recognise } from '../src/checkpoints/index.js';
import { compile } from '../src/compile.js';
import { CheckpointError } from '../src/errors.js';
import { nullExecutor } from '../src/executors/null/index.js';
import { firstNotFinite } from '../src/finite.js';
import { parameters } from '../src/ir/graph.js';
import { buildModel } from '../src/models/index.js';
import { loadWeights, matchWeights, type WeightSource } from '../src/train/weights.js';
import { caseOf } from './checkpoint-cases.js';
import { modelOf, randomWeights, SMALL } from './tiny-vit.js';

describe('firstNotFinite', () => {
  it('finds nothing among finite numbers, however large, small or many', () => {
    const extremes = [3.4028234663852886e38, -3.4028234663852886e38, 1.4e-45, -0, 0, 1, -2.5];
    for (let length = 0; length <= extremes.length; length++) {
      expect(firstNotFinite(Float32Array.from(extremes.slice(0, length)))).toBe(-1);
    }
    expect(firstNotFinite(new Float32Array(100_003).fill(3.4e38))).toBe(-1);
    expect(firstNotFinite(Float64Array.of(Number.MAX_VALUE, -Number.MAX_VALUE))).toBe(-1);
  });

  it.each([NaN, Infinity, -Infinity])('finds the first %s at every place', (odd) => {
    for (let length = 1; length <= 9; length++) {
      for (let at = 0; at < length; at++) {
        const values = new Float32Array(length).fill(-1.5);
        values[at] = odd;
        expect(firstNotFinite(values)).toBe(at);
        values.fill(NaN, at);
        expect(firstNotFinite(Float64Array.from(values))).toBe(at);
      }
    }
    expect(firstNotFinite(Float32Array.of(1, Infinity, -Infinity))).toBe(1); // they would cancel
  });
});

describe('weights that are no numbers', () => {
  const model = modelOf(SMALL)(1);
  const shapes = new Map(parameters(model.graph).map(({ name, type }) => [name, type.shape]));
  /** Random weights with `value` as element `at` of `tensor`. */
  const source = (tensor: string, at: number, value: number): WeightSource => {
    const weights = randomWeights(model);
    weights.get(tensor)?.fill(value, at, at + 1);
    return { name: 'a.safetensors', shapes, read: (name) => weights.get(name) ?? NO_VALUES };
  };
  const NO_VALUES = new Float32Array();

  it.each([NaN, Infinity, -Infinity])('are refused when they are read: %s', (value) => {
    const { read } = matchWeights(model, source('blocks.1.attn.qkv.weight', 77, value), 0);
    const name = (text: string) => expect(() => read(text));
    name('blocks.1.attn.qkv.weight').toThrow(CheckpointError);
    name('blocks.1.attn.qkv.weight').toThrow(
      `a.safetensors, tensor blocks.1.attn.qkv.weight: expected finite numbers, got ${String(value)} ` +
        'at element 77. The file is damaged, or its training diverged; use another checkpoint.',
    );
    name('blocks.0.attn.qkv.weight').not.toThrow();
  });

  it('are refused in every tensor, and nothing is left out', async () => {
    const program = compile({ model: modelOf(SMALL), batch: 1 });
    const executor = await nullExecutor.load(program);
    for (const tensor of shapes.keys()) {
      expect(() => loadWeights(executor, model, source(tensor, 0, NaN), 0)).toThrow(
        `a.safetensors, tensor ${tensor}: expected finite numbers, got NaN at element 0`,
      );
    }
    await executor.dispose();
  });

  it('are refused in positions that are resized, by the element of the file', () => {
    const large = modelOf({ ...SMALL, imageSize: 2 * SMALL.imageSize })(1);
    const weights = randomWeights(large);
    weights.get('pos_embed')?.fill(NaN, 41, 42);
    const file = {
      name: 'a.safetensors',
      shapes: new Map(parameters(large.graph).map(({ name, type }) => [name, type.shape])),
      read: (name: string) => weights.get(name) ?? NO_VALUES,
    };
    expect(() => matchWeights(model, file, 0).read('pos_embed')).toThrow(
      'a.safetensors, tensor pos_embed: expected finite numbers, got NaN at element 41',
    );
  });

  it('are called by the names and elements that the file has', () => {
    const { source: given, sidecars } = caseOf('hugging-face', 'vit');
    const key = [...given.shapes.keys()].find((name) =>
      name.endsWith('1.attention.attention.key.weight'),
    );
    if (key === undefined) throw new Error('no such tensor in the fixture');
    const damaged = {
      ...given,
      name: 'model.safetensors',
      read: (name: string) =>
        name === key ? given.read(name).with(9, -Infinity) : given.read(name),
    };
    for (const prefix of ['', 'module.']) {
      const wrapped = {
        ...damaged,
        shapes: new Map([...given.shapes].map(([name, shape]) => [prefix + name, shape])),
        read: (name: string) => damaged.read(name.slice(prefix.length)),
      };
      const { weights, config } = recognise(wrapped, new Map(), sidecars);
      const { read } = matchWeights(buildModel(config, { batch: 1 }), weights, 0);
      expect(() => read('blocks.1.attn.qkv.weight')).toThrow(
        `model.safetensors, tensor ${prefix}${key}: expected finite numbers, got -Infinity at element 9`,
      );
    }
  });
});
