/**
 * asi and hosvd on a ViT: what is saved for the backward pass and for how long, to the byte; what the
 * loss says; and how the states start. The arithmetic of one layer is in tucker.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { ConfigError } from '../src/errors.js';
import type { Executor, ExecutorKind } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { parseMethod } from '../src/methods/index.js';
import type { BoundMethod } from '../src/methods/method.js';
import type { Ranks } from '../src/methods/ranks.js';
import { VIT_PRESETS } from '../src/models/vit/presets.js';
import { swin, type SwinConfig } from '../src/models/swin/model.js';
import type { VitConfig } from '../src/models/vit/model.js';
import { sgd } from '../src/optim/sgd.js';
import { memoryReport, savedSlots } from '../src/plan/report.js';
import { entryFlops, entryNamed, plannedBytes, type Program } from '../src/program.js';
import { train } from '../src/train/loop.js';
import { EXECUTORS } from './executors.js';
import { fixedBatch, modelOf, SMALL, started, step, TINY, writeScalars } from './tiny-vit.js';

const BATCH = 4;
/** Blocks of SMALL: [B, N, D] and [B, N, 4D]. */
const SHAPES = [
  [BATCH, 10, 12],
  [BATCH, 10, 48],
] as const;

describe('what is saved for the backward pass', () => {
  it('is the cores, by name, and never a compressed input', () => {
    const saved = (text: string) => {
      const compiled = program(text, { ...TINY, depth: 1 });
      return savedSlots(compiled, entryNamed(compiled, 'step'))
        .map(({ name }) => name)
        .filter((name) => name.startsWith('blocks.0.'));
    };
    expect(saved('asi=0.4,layers=all')).toEqual([
      'blocks.0.norm1.mean',
      'blocks.0.norm1.rstd',
      'blocks.0.attn.qkv.weight.tucker.core.y',
      'blocks.0.attn.qkv.y',
      'blocks.0.attn.mix.lse',
      'blocks.0.attn.proj.weight.tucker.core.y',
      'blocks.0.attn.proj.y',
      'blocks.0.norm2.mean',
      'blocks.0.norm2.rstd',
      'blocks.0.mlp.fc1.weight.tucker.core.y',
      'blocks.0.mlp.fc1.y',
      'blocks.0.mlp.fc2.weight.tucker.core.y',
    ]);
    const factors = (weight: string) =>
      ['factor.0.y', 'factor.1.y', 'factor.2.y', 'core.y'].map(
        (name) => `${weight}.tucker.${name}`,
      );
    expect(saved('hosvd=0.4,layers=mlp')).toEqual([
      'blocks.0.norm1.y',
      'blocks.0.norm1.mean',
      'blocks.0.norm1.rstd',
      'blocks.0.attn.qkv.y',
      'blocks.0.attn.mix.y',
      'blocks.0.attn.mix.lse',
      'blocks.0.attn.proj.y',
      'blocks.0.norm2.mean',
      'blocks.0.norm2.rstd',
      ...factors('blocks.0.mlp.fc1.weight'),
      'blocks.0.mlp.fc1.y',
      ...factors('blocks.0.mlp.fc2.weight'),
    ]);
  });

  it('leaves an input dead behind the last product of the forward pass', () => {
    const compiled = program('asi=0.6,layers=all');
    const { slots } = compiled;
    const { steps } = entryNamed(compiled, 'step');
    for (const block of ['blocks.0.', 'blocks.1.', 'blocks.2.']) {
      for (const [input, reader] of [
        ['norm1.y', 'attn.qkv'],
        ['norm2.y', 'mlp.fc1'],
        ['mlp.act.fused', 'mlp.fc2'],
      ]) {
        const slot = slots.find(({ name, entry }) => name === block + input && entry === 'step');
        const last = steps.findIndex(({ name }) => name === block + reader);
        expect(slot, block + input).toMatchObject({ role: 'temporary', last });
      }
    }
  });

  it('takes the bytes of the cores in the place of the inputs', () => {
    const ranks = ranksOf([2, 3, 4], [4, 5, 6]);
    const cores = 2 * 3 * 4 + 4 * 5 * 6;
    const inputs = SHAPES.reduce((sum, shape) => sum + product(shape), 0);
    const states = 2 * 4 + 3 * 10 + 4 * 12 + (5 * 10 + 6 * 48); // the batch of fc2 is of full rank
    const found = (text: string) => memoryReport(bound(parseMethod(text).with({ ranks })), 1);
    const full = memoryReport(program('full'), 1);
    const asi = found('asi');
    const hosvd = found('hosvd');
    // Full training computes the last block's MLP for one token of ten, and so does `full` save it.
    const narrowed = 4 * BATCH * 9 * ((3 + 2 * 4) * 12 + 2);
    expect(asi.savedBytes - full.savedBytes).toBe(4 * 3 * (cores - inputs) + narrowed);
    expect(asi.factorBytes - full.factorBytes).toBe(4 * 3 * states);
    const hosvdBytes = 4 * 3 * (cores + states - inputs);
    expect(hosvd.savedBytes - full.savedBytes).toBe(hosvdBytes + narrowed);
    expect(hosvd.factorBytes).toBe(0);
  });

  it('makes the plan of a ViT-Ti smaller, the more so the lower ε', () => {
    const config = { ...VIT_PRESETS['vit-tiny-16'], classes: 10 };
    const peaks = [
      'full',
      'asi=0.9,layers=mlp',
      'asi=0.8,layers=mlp',
      'asi=0.6,layers=mlp',
      'asi=0.6,layers=all',
    ].map((text) => plannedBytes(program(text, config, 8), 1));
    peaks.slice(1).forEach((bytes, index) => expect(bytes).toBeLessThan(peaks[index]));
    // Of 197 · 192 · (1 + 4) elements for each block and image, the cores keep a few per cent. In the
    // last block, whose MLP full training computes for the class token alone, nothing is saved.
    expect(peaks[0] - peaks[3]).toBeGreaterThan(0.8 * 4 * 11 * 8 * 197 * 192 * 5);
  });

  it('does not count the start as a part of the step', () => {
    const compiled = program('asi');
    const [start, once] = compiled.entries;
    expect([start.name, once.name]).toEqual(['start', 'step']);
    expect(memoryReport(compiled, 1).flopsPerStep).toBe(entryFlops(compiled, once));
  });
});

describe.each(EXECUTORS)('on $name', (kind) => {
  it('starts with the loss of full training and stays near it with generous ranks', async () => {
    const full = await losses(kind, program('full'));
    const [near, rough] = [ranksOf([3, 9, 11], [3, 9, 36]), ranksOf([1, 1, 1], [1, 1, 1])];
    for (const name of ['asi', 'hosvd']) {
      const generous = await losses(kind, bound(parseMethod(name).with({ ranks: near })));
      const coarse = await losses(kind, bound(parseMethod(name).with({ ranks: rough })));
      expect(generous[0]).toBe(full[0]);
      expect(coarse[0]).toBe(full[0]);
      expect(distance(generous, full)).toBeLessThan(0.02);
      expect(distance(coarse, full)).toBeGreaterThan(2 * distance(generous, full));
    }
  });

  it('averages micro-batches', async () => {
    const method = parseMethod('asi').with({ ranks: ranksOf([3, 9, 11], [3, 9, 36]) });
    const options = { model: modelOf(SMALL), optimizer: sgd(), evalBatch: 0, microBatches: 2 };
    const compiled = compile({ ...options, method, batch: BATCH });
    expect(compiled.entries.map(({ name }) => name)).toEqual(['start', 'micro', 'apply']);
    const full = compile({ ...options, batch: BATCH });
    const [got, want] = [await micro(kind, compiled), await micro(kind, full)];
    expect(got[0]).toBe(want[0]);
    expect(distance(got, want)).toBeLessThan(0.02);
  });
});

describe('Swin', () => {
  const config: SwinConfig = {
    family: 'swin',
    imageSize: 32,
    patch: 2,
    channels: 3,
    width: 8,
    depths: [2, 1],
    heads: [1, 2],
    window: 4,
    mlpRatio: 4,
    classes: 3,
    layerNormEps: 1e-5,
  };
  const model = (batch: number) => swin(config, { batch });
  const options = { model, optimizer: sgd(), batch: BATCH, evalBatch: 0, saved: 'all' } as const;
  const compiled = (text: string) => compile({ ...options, method: parseMethod(text) });

  it('holds maps in four modes and windows in three', () => {
    const names = compiled('asi=0.8,layers=all')
      .slots.filter(({ role, name }) => role === 'state' && name.includes('.tucker.'))
      .map(({ name }) => name.replace(/^layers\.0\.blocks\.1\./, ''))
      .filter((name) => /^(attn|mlp)/.test(name));
    expect(names).toEqual([
      ...[0, 1, 2].map((mode) => `attn.qkv.weight.tucker.${String(mode)}`),
      ...[0, 1, 2].map((mode) => `attn.proj.weight.tucker.${String(mode)}`),
      ...[0, 1, 2, 3].map((mode) => `mlp.fc1.weight.tucker.${String(mode)}`),
      ...[0, 1, 2, 3].map((mode) => `mlp.fc2.weight.tucker.${String(mode)}`),
    ]);
  });

  it('takes less memory the lower ε', () => {
    const [full, asi, low] = ['full', 'asi=0.9', 'asi=0.6'].map((text) =>
      memoryReport(compiled(text), 1),
    );
    for (const part of ['peakBytes', 'savedBytes'] as const) {
      expect(asi[part]).toBeLessThan(full[part]);
      expect(low[part]).toBeLessThan(asi[part]);
    }
    expect(low.factorBytes).toBeLessThan(asi.factorBytes);
  });

  it.each(EXECUTORS)('stays near full training with a high ε on $name', async (kind) => {
    const losses = async (text: string) => {
      const executor = await started(kind, compiled(text), model(BATCH));
      const batch = fixedBatch(config, BATCH);
      if (text !== 'full') {
        executor.write('start.images', batch.images);
        await executor.run('start');
      }
      const result: number[] = [];
      for (let number = 1; number <= 3; number++) {
        result.push(await step(executor, sgd(), number, 0.02, batch));
      }
      await executor.dispose();
      return result;
    };
    const [full, asi] = [await losses('full'), await losses('asi=0.9')];
    expect(asi[0]).toBe(full[0]);
    expect(distance(asi, full)).toBeLessThan(0.02);
    expect(asi.slice(1)).not.toEqual(full.slice(1));
  });
});

describe('the start', () => {
  it('runs once, on the first batch of training', async () => {
    const executor = await started(referenceExecutor, program('asi'), modelOf(SMALL)(BATCH));
    const runs: string[] = [];
    const spy: Executor = Object.assign(Object.create(executor) as Executor, {
      run: async (entry: string) => {
        runs.push(entry);
        await executor.run(entry);
      },
    });
    const batches = [3, 4].map((seed) => fixedBatch(SMALL, BATCH, seed));
    const schedule = () => 0.01;
    await train({ executor: spy, optimizer: sgd(), schedule, epochs: 2, batches: () => batches });
    expect(runs).toEqual(['start', 'step', 'step', 'step', 'step']);
  });

  it('is left out where nothing is compressed or nothing is kept', () => {
    const names = (text: string) => program(text).entries.map(({ name }) => name);
    expect(names('asi')).toEqual(['start', 'step']);
    for (const text of ['asi=1', 'hosvd', 'head+asi']) expect(names(text)).toEqual(['step']);
  });

  it('reads images and no labels, and writes every state', () => {
    const { entries, slots } = program('asi');
    const [start] = entries;
    expect(Object.keys(start.inputs)).toEqual(['images']);
    expect(start.outputs).toEqual({});
    const written = start.steps.flatMap(({ op, inputs }) =>
      op === 'assign' ? [inputs.target] : [],
    );
    const states = slots.flatMap(({ role }, index) => (role === 'state' ? [index] : []));
    expect(written.sort((a, b) => a - b)).toEqual(states);
  });
});

describe('options', () => {
  it.each([
    ['asi', 'asi=0.8,layers=all'],
    ['asi=0.5', 'asi=0.5,layers=all'],
    ['asi=layers=mlp', 'asi=0.8,layers=mlp'],
    ['hosvd=.9,layers=all', 'hosvd=0.9,layers=all'],
    ['last-k=1+asi=0.5', 'last-k=1+asi=0.5,layers=all'],
  ])('%s means %s', (text, canonical) => {
    expect(parseMethod(text).text).toBe(canonical);
    expect(parseMethod(canonical).text).toBe(canonical);
  });

  it('say which ranks are needed', () => {
    expect(parseMethod('asi=0.5,layers=all').probe).toEqual({
      kind: 'ranks',
      weights: null,
      activations: { epsilon: 0.5, layers: 'all', refresh: 'whole', onlyCheaper: false },
    });
    const ranks = ranksOf([1, 1, 1], [1, 1, 1]);
    expect(parseMethod('asi=0.5').with({ ranks }).text).toBe('asi=0.5,layers=all');
  });

  it.each([
    [
      'asi=0',
      'method asi: expected an explained variance in (0, 1], got "0". ' +
        'Lower it for less memory, raise it for more accuracy; 1 keeps everything.',
    ],
    [
      'hosvd=0.5,layers=attn',
      'method hosvd: expected layers=mlp or layers=all, got "attn". ' +
        'mlp acts on the linears of the MLPs, all on those of attention as well.',
    ],
    [
      'asi=0.5+hosvd',
      'method asi=0.5,layers=all+hosvd=0.8,layers=all: expected one method for the ranks of saved inputs, ' +
        'got two, asi=0.5,layers=all and hosvd=0.8,layers=all. Leave one of them out.',
    ],
  ])('refuse %s', (text, message) => {
    expect(() => parseMethod(text)).toThrow(ConfigError);
    expect(() => parseMethod(text)).toThrow(message);
  });
});

function program(text: string, config: VitConfig = SMALL, batch = BATCH): Program {
  return bound(parseMethod(text), config, batch);
}

/** All that gradients read is kept as it is: what asi replaces. */
function bound(method: BoundMethod, config: VitConfig = SMALL, batch = BATCH): Program {
  const options = { model: modelOf(config), optimizer: sgd(), batch, evalBatch: 0 };
  return compile({ ...options, method, saved: 'all' });
}

function product(extents: readonly number[]): number {
  return extents.reduce((all, extent) => all * extent, 1);
}

/** Tucker ranks of both linears of every MLP. */
function ranksOf(fc1: readonly number[], fc2: readonly number[]): Ranks {
  const activations = Object.fromEntries(
    [0, 1, 2].flatMap((block) => [
      [`blocks.${String(block)}.mlp.fc1.weight`, fc1],
      [`blocks.${String(block)}.mlp.fc2.weight`, fc2],
    ]),
  );
  return { weights: {}, activations };
}

/** Losses of six steps on two batches by turns. */
async function losses(kind: ExecutorKind, compiled: Program): Promise<readonly number[]> {
  const executor = await startedOn(kind, compiled);
  const result: number[] = [];
  for (let number = 1; number <= 6; number++) {
    result.push(
      await step(executor, sgd(), number, 0.05, fixedBatch(SMALL, BATCH, 3 + (number % 2))),
    );
  }
  await executor.dispose();
  return result;
}

/** The same with two micro-batches for each step. */
async function micro(kind: ExecutorKind, compiled: Program): Promise<readonly number[]> {
  const executor = await startedOn(kind, compiled);
  const result: number[] = [];
  for (let number = 1; number <= 6; number++) {
    for (const seed of [3, 4]) {
      const { images, labels } = fixedBatch(SMALL, BATCH, seed);
      executor.write('micro.images', images);
      executor.write('micro.labels', labels);
      await executor.run('micro');
      result.push((await executor.read('micro.loss'))[0]);
    }
    writeScalars(executor, 'apply', sgd(), number, 0.05);
    await executor.run('apply');
  }
  await executor.dispose();
  return result;
}

async function startedOn(kind: ExecutorKind, compiled: Program): Promise<Executor> {
  const executor = await started(kind, compiled, modelOf(SMALL)(BATCH));
  if (compiled.entries[0].name !== 'start') return executor;
  executor.write('start.images', fixedBatch(SMALL, BATCH, 4).images);
  await executor.run('start');
  return executor;
}

/** The largest difference, as a part of the first loss. */
function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((loss, index) => Math.abs(loss - b[index]))) / b[0];
}
