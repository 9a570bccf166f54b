/** run.json and ranks.json: read back as they were written, refused when anything in them cannot be used. */
import { CheckpointError, FormatError, NO_RANKS } from '@thimble/core';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { startedFound } from '../src/run/form.js';
import { parseRanks, readRanks, writeRanks } from '../src/run/ranks-file.js';
import { checkedRun } from '../src/run/open.js';
import { parseRunRecord, writtenRun, type RunRecord } from '../src/run/record.js';
import { recordText, runCase } from './run-cases.js';

const FC1 = 'blocks.0.mlp.fc1.weight'; // [64, 32]
const RANKS = { weights: { [FC1]: 4 }, activations: { [FC1]: [2, 9, 5] } };
const dense = runCase('full');
const factored = runCase('wasi=0.8', RANKS);

/** A copy with the value at a path changed; undefined takes it away. */
function changed(record: RunRecord, path: string, value: unknown): object {
  const copy = JSON.parse(JSON.stringify(writtenRun(record))) as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let inner = copy;
  for (const key of keys) inner = inner[key] as Record<string, unknown>;
  inner[last] = value;
  return copy;
}

const parsed = (record: object) => parseRunRecord('r/run.json', recordText(record));

describe('run.json', () => {
  it.each([dense, factored])('comes back as it was written', ({ record }) => {
    expect(parsed(writtenRun(record))).toEqual(record);
  });

  it('is read as version 0.1.0 wrote it', () => {
    const { ranks, saved, memory, origin, files, ...former } = writtenRun(dense.record);
    expect([ranks, saved, memory, origin, files].every((value) => value !== undefined)).toBe(true);
    const { family, ...config } = { ...dense.record.model.config, family: 'vit' };
    expect(family).toBe('vit');
    const record = { ...former, model: { name: 'tiny', config } };
    const { model } = dense.record;
    expect(parsed(record)).toEqual({ ...record, model, found: {} });
    const metadata = new Map([['model', 'vit-micro']]);
    const { checkpoint } = dense;
    expect(() => checkedRun('r', parsed(record), { ...checkpoint, metadata })).not.toThrow();
  });

  it.each([
    ['format', 'other', 'r/run.json, format: expected thimble-run, got "other"'],
    ['version', 2, 'r/run.json, version: expected 1, got 2'],
    ['model', null, 'model: expected an object, got null'],
    ['model.config', null, 'model.config: expected an object, got null'],
    [
      'model.config.family',
      'vgg',
      'model.config.family: expected vit or swin or mobilenet or resnet, got "vgg"',
    ],
    ['model.config.depth', 1e7, 'model.config.depth: expected a whole number from 1 to 256'],
    ['model.config.heads', 5, 'model.config.width: expected a multiple of the 5 heads, got 32'],
    ['model.config.imageSize', 18, 'model.config.imageSize: expected a multiple of the patch 4'],
    ['model.config.channels', 1, 'model.config.channels: expected 3, as pictures have, got 1'],
    [
      'model.config.classes',
      4,
      'classes: expected 4 names, one for each output of the model, got 3',
    ],
    ['classes', [], 'classes: expected a list of 1 to 1000000 values, got 0'],
    ['classes', ['cat', 'dog', 3], 'classes[2]: expected a text, got 3'],
    ['preprocess.std', undefined, 'preprocess.std: expected a list, got nothing'],
    ['preprocess.std', [1e-320, 1, 1], 'preprocess.std[0]: expected a finite number from 0.000001'],
    ['preprocess.filter', 'x', 'preprocess.filter: expected nearest or lanczos'],
    ['method', 'wasy', 'method: expected one of full, head, '],
    ['method', 'wasi=7', 'method: expected for method wasi an explained variance'],
    ['ranks', { weights: [], activations: {} }, 'ranks.weights: expected an object, got []'],
    ['saved', 'most', 'saved: expected all or exact or compact or smallest, got "most"'],
    ['microBatches', 3, 'microBatches: expected a divisor of the batch 8, got 3'],
    ['slices', 3, 'slices: expected a divisor of the 4 images of a micro-batch, got 3'],
    ['origin', { from: 'x' }, 'origin.description: expected a text, got nothing'],
    ['memory', { budget: -1 }, 'memory.budget: expected a finite number from 0, got -1'],
    ['history', null, 'history: expected a list, got null'],
    ['history.0.accuracy', null, 'history[0].accuracy: expected a finite number from 0 up to 1'],
    ['history.0.loss', 'NaN', 'history[0].loss: expected a finite number, got "NaN"'],
    ['status', 'dead', 'status: expected running or done or interrupted or failed, got "dead"'],
  ])('with %s = %j is refused', (path, value, message) => {
    const read = () => parsed(changed(dense.record, path, value));
    expect(read).toThrow(FormatError);
    expect(read).toThrow(message);
  });

  it('is refused as text that is none, and without the ranks that its method has', () => {
    expect(() => parseRunRecord('r/run.json', '{')).toThrow(
      'r/run.json: expected JSON, got no JSON',
    );
    expect(() => parsed({ ...writtenRun(factored.record), ranks: undefined })).toThrow(
      'r/run.json, ranks: expected those with which wasi=0.8,layers=all,truncation=data,' +
        'activations=0.8 was compiled, got nothing',
    );
  });
});

describe('a record and its weights', () => {
  const check = (record: object, checkpoint = dense.checkpoint) =>
    checkedRun('run.json', parsed(record), checkpoint);

  it('make a run', () => {
    expect(check(writtenRun(dense.record)).method.text).toBe('full');
    const { form } = check(writtenRun(factored.record), factored.checkpoint);
    expect(form?.found).toEqual({ ranks: RANKS });
  });

  it.each([
    ['model.config.heads', 2, 'run.json, model.config.heads: expected 4, as run/model.safetensors'],
    ['model.config.layerNormEps', 1e-5, 'model.config.layerNormEps: expected 1e-12, as run/model'],
    ['classes', ['dog', 'cat', 'owl'], 'classes: expected ["cat","dog","owl"], as run/model.safe'],
    [
      'preprocess.edge',
      17,
      'run.json, preprocess.edge: expected nothing, as run/model.safetensors',
    ],
    ['method', 'last-k=9', 'run.json, method last-k: expected at most 2 blocks'],
    ['ranks.weights', { 'head.weight': 1 }, 'run.json, rank of head.weight: expected the weight'],
  ])('that do not agree on %s are refused', (path, value, message) => {
    const read = () => check(changed(dense.record, path, value));
    expect(read).toThrow(FormatError);
    expect(read).toThrow(message);
  });

  it.each([
    ['model.config.imageSize', 32, 'expected the 32 parameters of the model that its run.json'],
    ['model.config.width', 64, 'tensor patch_embed.proj.weight: expected shape [64, 3, 4, 4]'],
    ['model.config.depth', 1, 'got 20 of them, and 12 others'],
    ['method', 'lora=2', 'got 32 of them, and 0 others'],
  ])('are refused where %s is not that of the tensors', (path, value, message) => {
    const read = () => check(changed(dense.record, path, value));
    expect(read).toThrow(CheckpointError);
    expect(read).toThrow(message);
  });

  it.each([
    [{ weights: { [FC1]: 33 }, activations: {} }, `run.json, rank of ${FC1}: expected a whole`],
    [{ weights: { [FC1]: 3 }, activations: {} }, `tensor ${FC1}: expected factors of rank 3`],
    [
      { ...RANKS, activations: { [FC1]: [5, 9, 5] } },
      'expected a whole number from 1 to 4 for mode 0',
    ],
    [{ ...RANKS, activations: { [FC1]: [2, 9] } }, `Tucker ranks of ${FC1}: expected 3 ranks`],
    [
      { ...RANKS, activations: {} },
      `run.json, ranks.activations.${FC1}: expected [2,9,5], as run/`,
    ],
  ])('with ranks %j are refused', (ranks, message) => {
    expect(() => check({ ...writtenRun(factored.record), ranks }, factored.checkpoint)).toThrow(
      message,
    );
  });

  it.each([
    [
      '{"method":"wasi","ranks":{"weights":{},"activations":{}}}',
      'factors, pass: expected a whole',
    ],
    [
      '{"method":"no","ranks":{"weights":{},"activations":{}},"pass":4}',
      'factors, method: expected',
    ],
    ['[', 'metadata thimble.factors: expected JSON'],
  ])('with thimble.factors %s are refused', (text, message) => {
    const { record, checkpoint } = factored;
    const metadata = new Map([...checkpoint.metadata, ['thimble.factors', text] as const]);
    expect(() => check(writtenRun(record), { ...checkpoint, metadata })).toThrow(message);
  });
});

describe('what was found for a start', () => {
  const { method, form } = checkedRun('run.json', factored.record, factored.checkpoint);
  const start = { path: 'run', form, model: factored.record.model };

  it('continue with passes and images of the same size only', () => {
    expect(startedFound(method, { pass: 4, imageSize: 16 }, start)).toEqual({ ranks: RANKS });
    expect(startedFound(method, { pass: 2, imageSize: 16 }, start)).toBeNull();
    expect(startedFound(method, { pass: 4, imageSize: 24 }, start)).toBeNull();
    expect(startedFound(method, { pass: 4, imageSize: 16 }, null)).toBeNull();
  });
});

describe('ranks.json', () => {
  const folder = mkdtempSync(join(tmpdir(), 'thimble-ranks-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const file = { method: factored.record.method, pass: 4, ranks: RANKS, tables: null };
  const write = async (changes: object) => {
    const run = join(folder, 'run');
    mkdirSync(run, { recursive: true });
    writeFileSync(join(run, 'run.json'), recordText(writtenRun(factored.record)));
    await writeRanks(join(run, 'ranks.json'), { ...file, ...changes });
    return run;
  };

  it('comes back as it was written', async () => {
    expect(readRanks(await write({}))).toEqual(file);
  });

  it.each([
    [{ method: 'wsi=0.5' }, 'ranks.json, method: expected "wasi=0.8,'],
    [{ pass: 8 }, 'ranks.json, pass: expected 4, as run.json says, got 8'],
    [
      { ranks: NO_RANKS },
      `ranks.json, ranks.weights.${FC1}: expected 4, as run.json says, got nothing`,
    ],
    [{ ranks: null }, 'ranks.json, ranks: expected an object, got null'],
    [{ tables: undefined }, 'ranks.json, tables: expected an object, got nothing'],
    [{ version: 7 }, 'ranks.json, version: expected 1, got 7'],
  ])('with %j is refused', async (changes, message) => {
    const run = await write(changes);
    expect(() => readRanks(run)).toThrow(FormatError);
    expect(() => readRanks(run)).toThrow(message);
  });

  it('has the ranks of its tables', () => {
    const row = {
      weight: FC1,
      outputs: 64,
      inputs: 32,
      rank: 5,
      plainRank: 6,
      bytes: 1,
      lost: 0.1,
    };
    const weights = { epsilon: 0.8, truncation: 'data', images: 8, budgetBytes: 9, bytes: 9 };
    const tables = {
      weights: { ...weights, minimumBytes: 1, denseBytes: 99, layers: [row] },
      activations: null,
    };
    const read = (changed: object) => () =>
      parseRanks(
        'ranks.json',
        JSON.stringify({ format: 'thimble-ranks', version: 1, ...file, tables: changed }),
      );
    expect(read(tables)).toThrow(
      `ranks.json, ranks.weights.${FC1}: expected 5, as the tables say, got 4.`,
    );
    const options = [
      { ranks: [1, 2, 3], bytes: 9, perplexity: 0.5 },
      { ranks: null, bytes: 99, perplexity: 0 },
    ];
    const input = { weight: FC1, shape: [4, 17, 32], gradientNorm: 2, chosen: 0, options };
    const sizes = { epsilon: 0.8, epsilons: [0.8], budgetBytes: 9, bytes: 9, minimumBytes: 1 };
    const activations = { ...sizes, fullBytes: 99, layers: [input] };
    expect(read({ weights: null, activations })).toThrow(
      `ranks.json, ranks.activations.${FC1}: expected [1,2,3], as the tables say, got`,
    );
  });
});
