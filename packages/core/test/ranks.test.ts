/** Ranks, methods and tables that were written down: read with bounds, and compared with the model. */
import { describe, expect, it } from 'vitest';
import { ConfigError, FormatError } from '../src/errors.js';
import { checkFound, methodReader } from '../src/methods/index.js';
import { NO_RANKS, ranksReader, type Ranks } from '../src/methods/ranks.js';
import { tablesReader, type PrepareTables } from '../src/prepare/types.js';
import { read, readValue } from '../src/schema/index.js';
import { vit } from '../src/models/vit/model.js';
import { TINY } from './tiny-vit.js';

const FILE = { file: 'run.json', error: FormatError, todo: 'Use it as it was written' };

describe('ranks', () => {
  it.each([
    [[], 'run.json: expected an object, got []'],
    [{ weights: {} }, 'run.json, activations: expected an object, got nothing'],
    [{ weights: { a: 0 }, activations: {} }, 'run.json, weights.a: expected a whole number from 1'],
    [{ weights: {}, activations: { a: [] } }, 'activations.a: expected a list of 1 to 8 values'],
    [
      { weights: {}, activations: { a: [1.5] } },
      'activations.a[0]: expected a whole number from 1',
    ],
  ])('are refused where they are none: %j', (value, message) => {
    expect(() => readValue(value, ranksReader, FILE)).toThrow(message);
  });

  const fc1 = 'blocks.0.mlp.fc1.weight'; // [8, 4], input [2, 5, 4]
  const model = vit(TINY, { batch: 2 });
  const check = (ranks: Partial<Ranks>) => () => {
    checkFound(model, { ranks: { ...NO_RANKS, ...ranks } });
  };

  it('are those that a model can have', () => {
    expect(check({})).not.toThrow();
    expect(check({ weights: { [fc1]: 4 }, activations: { [fc1]: [2, 5, 1] } })).not.toThrow();
  });

  it.each<readonly [Partial<Ranks>, string]>([
    [{ weights: { [fc1]: 5 } }, `rank of ${fc1}: expected a whole number from 1 to 4`],
    [{ weights: { 'head.weight': 1 } }, 'rank of head.weight: expected the weight of a linear'],
    [{ weights: { toString: 1 } }, 'rank of toString: expected the weight of a linear'],
    [{ activations: { [fc1]: [2, 5] } }, `Tucker ranks of ${fc1}: expected 3 ranks`],
    [{ activations: { [fc1]: [3, 5, 4] } }, 'expected a whole number from 1 to 2 for mode 0'],
    [{ activations: { 'blocks.9.mlp.fc1.weight': [1, 1, 1] } }, 'got "blocks.9.mlp.fc1.weight"'],
  ])('are refused where the model cannot have them: %j', (ranks, message) => {
    expect(check(ranks)).toThrow(ConfigError);
    expect(check(ranks)).toThrow(message);
  });
});

describe('methods', () => {
  it.each(['full', 'last-k=2+wasi=0.8', 'wsi=0.5,layers=all,truncation=data'])('%s', (text) => {
    expect(readValue(text, methodReader, FILE)).toBe(text);
  });

  it.each([
    [7, 'run.json: expected a text, got 7.'],
    ['wasy', 'run.json: expected one of full, head, last-k, '],
    ['wasi=2', 'run.json: expected for method wasi an explained variance in (0, 1], got "2".'],
    ['wasi+wsi', 'expected for method wasi=0.8,'],
    ['x'.repeat(1001), 'run.json: expected at most 1000 characters, got 1001.'],
  ])('%j is refused', (value, message) => {
    expect(() => readValue(value, methodReader, FILE)).toThrow(message);
    expect(() => readValue(value, methodReader, FILE)).toThrow(FormatError);
  });
});

describe('tables', () => {
  const tables: PrepareTables = {
    weights: null,
    activations: {
      ...{ epsilon: 0.8, epsilons: [0.8], budgetBytes: 8, bytes: 8, minimumBytes: 4, fullBytes: 9 },
      layers: [
        {
          ...{ weight: 'w', shape: [2, 3], gradientNorm: 1, chosen: 0 },
          options: [{ ranks: [1, 2], bytes: 8, perplexity: 0.5 }],
        },
      ],
    },
  };

  it('come back as they were written', () => {
    expect(read(JSON.stringify(tables), tablesReader, FILE)).toEqual(tables);
  });

  it('have an option for every choice', () => {
    const text = JSON.stringify(tables).replace('"chosen":0', '"chosen":1');
    expect(() => read(text, tablesReader, FILE)).toThrow(
      'run.json, activations.layers[0].chosen: expected one of the 1 options, got 1.',
    );
  });
});
