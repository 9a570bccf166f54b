/**
 * Options of compressed inputs: ranks, bytes and perplexities against a truncated HOSVD computed step by step
 * in float64, and the choice under a budget.
 */
import { describe, expect, it } from 'vitest';
import { BudgetError } from '../src/errors.js';
import type { ExecutorKind } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import { elements, f32 } from '../src/ir/types.js';
import { OPS } from '../src/ops/index.js';
import {
  chooseActivations,
  chosenRanks,
  keptRows,
  rankOptions,
  triedEpsilons,
  tuckerBytes,
  tuckerRanks,
  type MeasuredInput,
} from '../src/prepare/activations.js';
import { measurePart } from '../src/prepare/measure.js';
import { Stage } from '../src/prepare/stage.js';
import { BATCH, BLOCK, pass, read, seenBy, type Tensor } from './prepare-block.js';

const EPSILONS = [0.3, 0.6, 0.9, 1];

/** y[p,i,q] = Σ_d u[i,d] x[p,d,q] along `mode`. */
function modeProduct({ shape, data }: Tensor, u: readonly Float64Array[], mode: number): Tensor {
  const types = { x: f32(...shape), u: f32(u.length, shape[mode]) };
  const y = f32(...shape.with(mode, u.length));
  const result = new Float64Array(elements(y.shape));
  const flat = Float64Array.from(u.flatMap((row) => [...row]));
  const params = { mode, transposed: false };
  OPS.mode_product.reference({ x: data, u: flat }, { y: result }, { ...types, y }, params);
  return { shape: y.shape, data: result };
}

/** Eigenvalues and eigenvectors (rows) of the Gram matrix of a mode. */
function modeBasis({ shape, data }: Tensor, mode: number) {
  const n = shape[mode];
  const type = f32(...shape);
  const a = new Float64Array(n * n);
  const of = { x: type, z: type, y: f32(n, n) };
  OPS.mode_contract.reference({ x: data, z: data }, { y: a }, of, { mode });
  const values = new Float64Array(n);
  const vectors = new Float64Array(n * n);
  const types = { a: f32(n, n), values: f32(n), vectors: f32(n, n) };
  OPS.symmetric_eigen.reference({ a }, { values, vectors }, types, {});
  const rows = Array.from({ length: n }, (_, i) => vectors.subarray(i * n, (i + 1) * n));
  return { values, rows };
}

/** gᵀ x over all rows, [O · I]. */
function weightGradient(g: Tensor, x: Tensor): Float64Array {
  const [outputs, inputs] = [g.shape[g.shape.length - 1], x.shape[x.shape.length - 1]];
  const result = new Float64Array(outputs * inputs);
  for (let row = 0; row < x.data.length / inputs; row++) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        result[o * inputs + i] += g.data[row * outputs + o] * x.data[row * inputs + i];
      }
    }
  }
  return result;
}

function distance(a: Float64Array, b: Float64Array): number {
  return Math.sqrt(a.reduce((sum, value, at) => sum + (value - b[at]) ** 2, 0));
}

const { x, dy } = pass(4);

/** The options of all four linears of a block. */
async function measured(kind: ExecutorKind, directions?: number, growth = 1) {
  const stage = new Stage({ kind, threads: 2 });
  const { activations, gradients } = await measurePart({
    stage,
    part: BLOCK.part,
    weights: [],
    data: false,
    activations: BLOCK.sites,
    epsilons: EPSILONS,
    growth,
    inputs: { count: 1, at: () => x },
    gradients: [dy],
    read,
    ...(directions === undefined ? {} : { directions }),
  });
  await stage.dispose();
  expect(gradients[0].length).toBe(x.length);
  return activations;
}

describe.each([referenceExecutor, wasmExecutor])('perplexities on $name', (kind) => {
  it('are the same where only the first directions of a mode are known', async () => {
    const all = await measured(kind);
    const first = await measured(kind, 8);
    all.forEach(({ options, gradientNorm }, site) => {
      let same = 0;
      options.forEach(({ ranks, perplexity }, option) => {
        const got = first[site].options[option];
        expect(got.ranks).toEqual(ranks?.map((rank) => Math.min(8, rank)) ?? null);
        if (ranks?.some((rank) => rank > 8)) return;
        expect((got.perplexity - perplexity) / gradientNorm).toBeCloseTo(0, 3);
        same++;
      });
      expect(same).toBeGreaterThanOrEqual(4);
    });
  });

  it('are kept by a larger pass, whose images have the same share', async () => {
    const own = await measured(kind);
    const larger = await measured(kind, undefined, 2.5);
    larger.forEach(({ shape, options }, site) => {
      const [images, ...others] = own[site].shape;
      expect(shape).toEqual([Math.ceil(2.5 * images), ...others]);
      own[site].options.slice(0, -1).forEach(({ ranks, perplexity }, option) => {
        const [share, ...rest] = ranks ?? [];
        const want = [Math.ceil(2.5 * share), ...rest];
        const bytes = tuckerBytes(shape, want);
        expect(options[option]).toEqual({ ranks: want, bytes, perplexity });
      });
    });
  });

  it('are those of a truncated HOSVD', async () => {
    const activations = await measured(kind);
    const tensors = await seenBy(BLOCK, x, dy);
    // fc2 has more inputs than there are rows, the others fewer.
    expect(tensors.map((site) => site.x.shape)).toEqual([
      [3, 10, 12],
      [3, 10, 12],
      [3, 10, 12],
      [3, 10, 48],
    ]);
    tensors.forEach((site, index) => {
      const { options, gradientNorm } = activations[index];
      const dw = weightGradient(site.g, site.x);
      const norm = distance(dw, new Float64Array(dw.length));
      expect(gradientNorm / norm).toBeCloseTo(1, 4);
      const modes = site.x.shape.map((_, mode) => modeBasis(site.x, mode));
      [...EPSILONS, ...EPSILONS].forEach((epsilon, option) => {
        const own = modes.map(({ values }) => {
          const total = values.reduce((a, b) => a + b);
          let sum = 0;
          return 1 + values.findIndex((value) => (sum += value) >= epsilon * total * (1 - 1e-12));
        });
        if (option >= EPSILONS.length) own[0] = BATCH;
        const { ranks, bytes, perplexity } = options[option];
        if (epsilon < 1) expect(ranks).toEqual(own);
        const kept = ranks ?? [];
        let truncated = site.x;
        kept.forEach((rank, mode) => {
          const rows = modes[mode].rows.slice(0, rank);
          truncated = modeProduct(truncated, rows, mode);
        });
        kept.forEach((rank, mode) => {
          const rows = modes[mode].rows.slice(0, rank);
          const columns = Array.from({ length: site.x.shape[mode] }, (_, d) =>
            Float64Array.from(rows, (row) => row[d]),
          );
          truncated = modeProduct(truncated, columns, mode);
        });
        const error = distance(weightGradient(site.g, truncated), dw);
        expect(perplexity / norm).toBeCloseTo(error / norm, 4);
        expect(bytes).toBe(tuckerBytes(site.x.shape, kept));
      });
      expect(options[2 * EPSILONS.length]).toEqual({
        ranks: null,
        bytes: 4 * elements(site.x.shape),
        perplexity: 0,
      });
    });
  });
});

describe('options', () => {
  it('count cores and the factors of truncated modes', () => {
    expect(tuckerBytes([4, 10, 12], [2, 3, 5])).toBe(4 * (30 + 8 + 30 + 60));
    expect(tuckerBytes([4, 10, 12], [4, 3, 5])).toBe(4 * (60 + 30 + 60));
  });

  it('have no more ranks than an unfolding has directions', () => {
    const ones = (n: number) => new Float64Array(n).fill(1);
    const energies = { modes: [ones(2), ones(3), ones(12)], total: 12 };
    expect(tuckerRanks([2, 3, 12], energies, 1)).toEqual([2, 3, 6]);
  });

  it('take the unknown directions of a large mode into account', () => {
    const energies = {
      modes: [
        [9, 3],
        [8, 2, 2],
        [4, 2, 1],
      ],
      total: 12,
    };
    expect(tuckerRanks([2, 3, 12], energies, 0.5)).toEqual([1, 1, 2]);
    expect(tuckerRanks([2, 3, 12], energies, 0.9)).toEqual([2, 3, 3]);
  });

  it('come with the first mode truncated and whole', () => {
    const energies = {
      modes: [
        [9, 3],
        [8, 2, 2],
        [8, 2, 2],
      ],
      total: 12,
    };
    expect(rankOptions([2, 3, 3], energies, [0.5, 0.8])).toEqual([
      [1, 1, 1],
      [2, 2, 2],
      [2, 1, 1],
      [2, 2, 2],
    ]);
  });

  it('mark the rows that they keep', () => {
    expect([...keptRows([2, 3], [1, 2, 7])]).toEqual([-1, -1, 0, 0, 0, 0]);
    expect([...keptRows([2, 2, 2], [2, 1, 2, 7])]).toEqual([-1, -1, 0, 0, -1, -1, 0, 0]);
  });

  it('are tried at the usual explained variances and the own one', () => {
    expect(triedEpsilons(0.8)).toEqual([0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
    expect(triedEpsilons(0.75)).toEqual([0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9]);
  });
});

describe('choice', () => {
  /** A layer whose perplexity falls with ε, `scale` times as much as another's. */
  const layer = (weight: string, scale: number): MeasuredInput => ({
    weight,
    shape: [8, 16, 32],
    gradientNorm: scale,
    options: [
      ...triedEpsilons(0.7).map((epsilon, index) => ({
        ranks: [1, index + 1, 4],
        bytes: 1000 * (index + 1),
        perplexity: scale * (1 - epsilon),
      })),
      { ranks: null, bytes: 16384, perplexity: 0 },
    ],
  });

  it('spends the bytes of a uniform ε where the gradient needs them', () => {
    const table = chooseActivations([layer('a', 1), layer('b', 50)], 0.7, undefined);
    expect(table).toMatchObject({ budgetBytes: 8000, bytes: 8000, minimumBytes: 2000 });
    expect(table.fullBytes).toBe(2 * 16384);
    expect(table.layers.map(({ chosen }) => chosen)).toEqual([1, 5]);
    expect(chosenRanks(table)).toEqual({ a: [1, 2, 4], b: [1, 6, 4] });
  });

  it('keeps an input as it is where the budget allows it', () => {
    const table = chooseActivations([layer('a', 1), layer('b', 50)], 0.7, 18000);
    expect(chosenRanks(table)).toEqual({ a: [1, 1, 4] });
  });

  it('leaves out what is not worth its work, but not under a budget', () => {
    const pair = [layer('a', 1), layer('b', 50)];
    const few = (_input: MeasuredInput, ranks: readonly number[]) => ranks[1] <= 3;
    const table = chooseActivations(pair, 0.7, undefined, few);
    // ε = 0.7 costs 4000 bytes in each.
    expect(table).toMatchObject({ budgetBytes: 8000, bytes: 6000 });
    expect(chosenRanks(table)).toEqual({ a: [1, 3, 4], b: [1, 3, 4] });
    expect(chosenRanks(chooseActivations(pair, 0.7, 8000, few))).toEqual({
      a: [1, 2, 4],
      b: [1, 6, 4],
    });
  });

  it('keeps an input as it is where no option is worth its work', () => {
    const pair = [layer('a', 1), layer('b', 50)];
    const table = chooseActivations(pair, 0.7, undefined, ({ weight }) => weight === 'a');
    expect(table.budgetBytes).toBe(4000 + 16384);
    expect(chosenRanks(table)).toEqual({ a: [1, 4, 4] });
  });

  it('refuses a budget below the minimum and names it', () => {
    const run = () => chooseActivations([layer('a', 1), layer('b', 50)], 0.7, 1500);
    expect(run).toThrow(BudgetError);
    expect(run).toThrow('at least 0.00 MB (2000 bytes)');
  });
});
