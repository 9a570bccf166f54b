/**
 * Prepare as a whole: what it finds and writes for a small ViT and a small Swin transformer, on the executors
 * that run the kernels, within the memory of one block.
 */
import { describe, expect, it } from 'vitest';
import { compile, type ModelBuilder } from '../src/compile.js';
import { BudgetError, CheckpointError, DataError } from '../src/errors.js';
import type { ExecutorKind, HostData } from '../src/executors/executor.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import { parameters } from '../src/ir/graph.js';
import { parseMethod } from '../src/methods/index.js';
import { vit } from '../src/models/vit/model.js';
import { sgd } from '../src/optim/sgd.js';
import { prepare } from '../src/prepare/prepare.js';
import { layerBytes } from '../src/prepare/spectra.js';
import type { PrepareEvent } from '../src/prepare/types.js';
import { plannedBytes, type Program } from '../src/program.js';
import { cosine } from '../src/train/schedule.js';
import { train } from '../src/train/loop.js';
import { loadWeights, readWeights, type WeightSource } from '../src/train/weights.js';
import { FAST_EXECUTORS } from './executors.js';
import { expectClose } from './golden.js';
import {
  BATCH,
  batches,
  filled,
  logitsOf,
  optionsFor,
  sourceOf,
  swinModel,
  VIT,
  vitModel,
} from './prepare-models.js';

/** The kind with a record of the bytes of every program that it loads. */
function recorded(kind: ExecutorKind, programs: Program[]): ExecutorKind {
  return {
    ...kind,
    load: (program, options) => {
      programs.push(program);
      return kind.load(program, options);
    },
  };
}

const none: ExecutorKind = {
  name: 'none',
  unavailable: () => Promise.resolve(null),
  load: () => Promise.reject(new Error('nothing is to be run')),
};

describe.each(FAST_EXECUTORS)('prepare on $name', (kind) => {
  it.each([
    ['vit', vitModel],
    ['swin', swinModel],
  ])('factors a %s so that it computes with W = L R', async (_name, model) => {
    const options = optionsFor('wsi=0.6,layers=all', { kind }, model);
    const prepared = await prepare(options);
    const { weights } = prepared.tables;
    expect(weights?.images).toBe(20);
    expect(Object.keys(prepared.ranks.weights).length).toBeGreaterThan(4);
    const executor = await filled(options, prepared);
    const products = new Map<string, Float32Array>();
    for (const [weight, rank] of Object.entries(prepared.ranks.weights)) {
      const left = await executor.read(`${weight}.left`);
      const right = await executor.read(`${weight}.right`);
      expect([1, 2, 4].includes(rank) || rank % 8 === 0).toBe(true);
      products.set(weight, productOf(left, right, rank));
      expectClose(gramOf(left, rank), identity(rank), { relative: 0, absolute: 1e-4 }, weight);
    }
    const dense = await kind.load(compile({ model, batch: BATCH }));
    loadWeights(dense, model(1, 'eval'), sourceOf(model, products), 1);
    const tolerance = { relative: 1e-3, absolute: 1e-3 };
    expectClose(await logitsOf(executor, model), await logitsOf(dense, model), tolerance, 'logits');
    await executor.dispose();
    await dense.dispose();
  });

  it('leaves a model as it is at ε = 1', async () => {
    for (const truncation of ['plain', 'data']) {
      const options = optionsFor(`wsi=1,layers=all,truncation=${truncation}`, { kind });
      const executor = await filled(options, await prepare(options));
      const dense = await kind.load(compile({ model: vitModel, batch: BATCH }));
      loadWeights(dense, vitModel(1, 'eval'), options.source, 1);
      const [got, want] = [await logitsOf(executor, vitModel), await logitsOf(dense, vitModel)];
      expect([...got]).toEqual([...want]);
      await executor.dispose();
      await dense.dispose();
    }
  });

  it('finds the same ranks and weights on any number of threads', async () => {
    const results = [];
    for (const threads of [1, 2]) {
      const options = optionsFor('wsi=0.6,layers=all+asi=0.7,layers=all', { kind, threads });
      const prepared = await prepare(options);
      const executor = await filled(options, prepared);
      const tensors = await readWeights(executor, prepared.method.forward(vitModel(1, 'eval')));
      results.push({ ranks: prepared.ranks, tables: prepared.tables, tensors });
      await executor.dispose();
    }
    expect(results[1]).toEqual(results[0]);
  });
});

describe('weights', () => {
  it('take the bytes of the plain rule, spent by what the loss feels', async () => {
    const data = (await prepare(optionsFor('wsi=0.6,layers=all'))).tables.weights;
    const plain = await prepare(
      optionsFor('wsi=0.6,layers=all,truncation=plain', { kind: wasmExecutor }),
    );
    const table = plain.tables.weights;
    if (!data || !table) throw new Error('no tables');
    expect(table.images).toBe(0);
    expect(table.bytes).toBe(table.budgetBytes);
    expect(data.budgetBytes).toBe(table.budgetBytes);
    expect(data.bytes).toBeLessThanOrEqual(data.budgetBytes);
    expect(data.layers.map(({ plainRank }) => plainRank)).toEqual(
      table.layers.map(({ rank }) => rank),
    );
    expect(data.layers.map(({ rank }) => rank)).toEqual([8, 4, 4, 4, 4, 4, 4, 2, 4, 4, 4, 2]);
    const sum = data.layers.reduce(
      (bytes, row) => bytes + layerBytes({ ...row, energies: [] }, row.rank),
      0,
    );
    expect(sum).toBe(data.bytes);
  });

  it('fit a budget that is given, or name the minimum', async () => {
    for (const truncation of ['plain', 'data']) {
      const method = `wsi=0.9,layers=all,truncation=${truncation}`;
      const { tables } = await prepare(optionsFor(method, { weightBytes: 60_000 }));
      expect(tables.weights?.bytes).toBeLessThanOrEqual(60_000);
      expect(tables.weights?.bytes).toBeGreaterThan(50_000);
      const small = prepare(optionsFor(method, { weightBytes: 600 }));
      await expect(small).rejects.toThrow(BudgetError);
      const minimum = String(tables.weights?.minimumBytes);
      await expect(small).rejects.toThrow(`at least 0.0`);
      await expect(small).rejects.toThrow(`(${minimum} bytes)`);
    }
  });

  it('are taken from a factored checkpoint as they are', async () => {
    const options = optionsFor('wsi=0.6,layers=all');
    const prepared = await prepare(options);
    const executor = await filled(options, prepared);
    const saved = await readWeights(executor, prepared.method.forward(vitModel(1, 'eval')));
    const source = storedSource(saved);
    const again = await prepare({ ...options, source, kind: none });
    expect(again.ranks).toEqual(prepared.ranks);
    expect(again.tables).toEqual({ weights: null, activations: null });
    const other = await wasmExecutor.load(executor.program);
    const report = await again.emitWeights(other);
    expect(report).toEqual({ loaded: saved.length, replaced: [], resized: [], unused: [] });
    expect(await logitsOf(other, vitModel)).toEqual(await logitsOf(executor, vitModel));
    const compressed = await prepare({
      ...options,
      source,
      method: parseMethod('wsi=0.6,layers=all+asi=0.7'),
    });
    expect(compressed.ranks.weights).toEqual(prepared.ranks.weights);
    expect(Object.keys(compressed.ranks.activations).length).toBeGreaterThan(0);
    await executor.dispose();
    await other.dispose();
  });

  it('of frozen blocks stay dense and are not measured', async () => {
    const events: PrepareEvent[] = [];
    const onProgress = (event: PrepareEvent) => events.push(event);
    const options = optionsFor('last-k=1+wsi=0.6,layers=all', { onProgress });
    const prepared = await prepare(options);
    const executor = await filled(options, prepared);
    for (const weight of Object.keys(prepared.ranks.weights))
      expect(weight).toMatch(/^blocks\.2\./);
    expect(prepared.tables.weights?.layers).toHaveLength(4);
    expect(
      events.map(
        ({ stage, done, total, what }) => `${stage} ${String(done)}/${String(total)} ${what}`,
      ),
    ).toEqual([
      'forward 1/5 embedding',
      'forward 2/5 blocks.0',
      'forward 3/5 blocks.1',
      'forward 4/5 blocks.2',
      'forward 5/5 tail',
      'measure 1/1 blocks.2',
      'factor 1/1 blocks.2',
    ]);
    await executor.dispose();
  });
});

describe('inputs', () => {
  it.each([
    ['vit', vitModel],
    ['swin', swinModel],
  ])('of a %s get ranks that train', async (_name, model) => {
    const options = optionsFor('wsi=0.6,layers=mlp+asi=0.6', {}, model);
    const prepared = await prepare(options);
    const table = prepared.tables.activations;
    if (!table) throw new Error('no table');
    const uniform = table.layers.map(({ options: own }) => own[table.epsilons.indexOf(0.6)]);
    const total = (rows: readonly { readonly perplexity: number }[]) =>
      rows.reduce((sum, { perplexity }) => sum + perplexity, 0);
    expect(table.budgetBytes).toBe(uniform.reduce((sum, { bytes }) => sum + bytes, 0));
    expect(table.bytes).toBeLessThanOrEqual(table.budgetBytes);
    const chosen = table.layers.map(({ options: own, chosen: index }) => own[index]);
    expect(total(chosen)).toBeLessThan(total(uniform));
    expect(JSON.parse(JSON.stringify(prepared.tables))).toEqual(prepared.tables);
    const optimizer = sgd();
    const program = compile({ model, method: prepared.method, batch: BATCH, optimizer });
    const executor = await wasmExecutor.load(program);
    await prepared.emitWeights(executor);
    const { loss } = await train({
      executor,
      optimizer,
      schedule: cosine({ peak: 0.05, steps: 20 }),
      epochs: 4,
      batches: () => batches(model),
    });
    expect(loss).toBeLessThan(Math.log(3));
    await executor.dispose();
  });

  it('need no factored weights', async () => {
    const { ranks, tables } = await prepare(optionsFor('asi=0.8', { activationBytes: 40_000 }));
    expect(ranks.weights).toEqual({});
    expect(tables.weights).toBeNull();
    expect(tables.activations?.bytes).toBeLessThanOrEqual(40_000);
    await expect(prepare(optionsFor('asi=0.8', { activationBytes: 40 }))).rejects.toThrow(
      'budget of Tucker cores and factors: expected at least',
    );
  });
});

describe('prepare', () => {
  it('runs nothing where nothing is to be found', async () => {
    const prepared = await prepare(optionsFor('last-k=1', { kind: none }));
    expect(prepared.ranks).toEqual({ weights: {}, activations: {} });
    const executor = await wasmExecutor.load(compile({ model: vitModel, batch: BATCH }));
    expect((await prepared.emitWeights(executor)).loaded).toBe(
      parameters(vitModel(1, 'eval').graph).length,
    );
    await executor.dispose();
  });

  it('chooses again from the same measurements', async () => {
    const budgets = { weightBytes: 60_000, activationBytes: 40_000 };
    const first = await prepare(optionsFor('wasi=0.8'));
    const again = first.within(budgets);
    const { ranks, tables } = await prepare(optionsFor('wasi=0.8', budgets));
    expect(again.ranks).toEqual(ranks);
    expect(again.tables).toEqual(tables);
    expect(again.ranks).not.toEqual(first.ranks);
    const executor = await filled(optionsFor('wasi=0.8'), again);
    expect(() => first.within({})).toThrow(
      'within: expected a call before the weights are emitted',
    );
    await executor.dispose();
  });

  it('refuses weights that do not fit before anything runs', async () => {
    const source = sourceOf(vitModel);
    const shapes = new Map([...source.shapes].filter(([name]) => name !== 'norm.bias'));
    const run = prepare(optionsFor('wsi=0.6', { source: { ...source, shapes }, kind: none }));
    await expect(run).rejects.toThrow(CheckpointError);
    await expect(run).rejects.toThrow('1 missing: norm.bias');
  });

  it('emits factored weights once', async () => {
    const options = optionsFor('wsi=0.6');
    const prepared = await prepare(options);
    const executor = await filled(options, prepared);
    await expect(prepared.emitWeights(executor)).rejects.toThrow(
      'emitWeights: expected a call before the weights are emitted, got one after it',
    );
    await executor.dispose();
  });

  it('needs one whole batch', async () => {
    const [batch] = batches(vitModel, 1);
    const run = prepare(optionsFor('wsi=0.6', { batches: () => [{ ...batch, real: 3 }] }));
    await expect(run).rejects.toThrow(DataError);
    await expect(run).rejects.toThrow('at least one batch of 4 images');
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const onProgress = ({ stage }: PrepareEvent) => {
      if (stage === 'measure') controller.abort(new Error('enough'));
    };
    const run = prepare(optionsFor('wsi=0.6', { onProgress, signal: controller.signal }));
    await expect(run).rejects.toThrow('enough');
  });

  it('holds one block and its moments at a time', async () => {
    const programs: Program[] = [];
    const kind = recorded(wasmExecutor, programs);
    const deep: ModelBuilder = (batch, mode) => vit({ ...VIT, depth: 12 }, { batch, mode });
    const options = optionsFor('wsi=0.6,layers=all', { kind }, deep);
    const prepared = await prepare(options);
    // Embedding, block, tail and tail backwards; then measuring and spectra, block by block.
    expect(programs).toHaveLength(4 + 12 * 2);
    const executor = await wasmExecutor.load(
      compile({ model: deep, method: prepared.method, batch: BATCH, evalBatch: 1 }),
    );
    await prepared.emitWeights(executor);
    await executor.dispose();
    const weights = 4 * 8 * VIT.width ** 2;
    const block = weights + 4 * (3 + 1 + 2 + 1 + 4) * VIT.width;
    // Metric and signal of four linears, sums and traces.
    const moments = 4 * (8 * VIT.width ** 2 + 2 * VIT.width + 2);
    const measuring = programs[4];
    const persistent = measuring.persistentBytes;
    expect(persistent).toBeGreaterThanOrEqual(block + moments);
    expect(persistent).toBeLessThan(block + moments + 64 * 40);
    // A block's step at this batch: tokens × 40 numbers of the width, forward and backward.
    const activations = 4 * BATCH * 10 * VIT.width * 40;
    for (const program of programs) {
      const scratch = 2 * program.scratchBytes;
      expect(plannedBytes(program, 2) - scratch).toBeLessThan(block + moments + activations);
    }
    for (const { persistentBytes } of programs.slice(28)) expect(persistentBytes).toBe(0);
  });
});

function storedSource(
  saved: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly data: HostData;
  }[],
): WeightSource {
  const found = (name: string) => saved.find((tensor) => tensor.name === name);
  return {
    name: 'run.safetensors',
    shapes: new Map(saved.map(({ name, shape }) => [name, shape])),
    read: (name) => Float32Array.from(found(name)?.data ?? []),
  };
}

/** L R of L [O, K] and R [K, I]. */
function productOf(left: HostData, right: HostData, rank: number): Float32Array {
  const outputs = left.length / rank;
  const inputs = right.length / rank;
  const result = new Float32Array(outputs * inputs);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      let sum = 0;
      for (let k = 0; k < rank; k++) sum += left[o * rank + k] * right[k * inputs + i];
      result[o * inputs + i] = sum;
    }
  }
  return result;
}

/** LᵀL of L [O, K]. */
function gramOf(left: HostData, rank: number): Float64Array {
  const result = new Float64Array(rank * rank);
  for (let row = 0; row < left.length / rank; row++) {
    for (let at = 0; at < result.length; at++) {
      const [i, j] = [Math.floor(at / rank), at % rank];
      result[at] += left[row * rank + i] * left[row * rank + j];
    }
  }
  return result;
}

function identity(size: number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, at) => Number(at % (size + 1) === 0));
}
