/**
 * Decompositions of a weight: exact at full rank, orthonormal, the error that the spectrum predicts, and the
 * optimum of the metric of the data.
 */
import { describe, expect, it } from 'vitest';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import type { ExecutorKind, HostData } from '../src/executors/executor.js';
import type { Graph } from '../src/ir/graph.js';
import { prune } from '../src/passes/prune.js';
import { plan } from '../src/plan/plan.js';
import {
  dataDirections,
  dataSpectrum,
  factorGraph,
  gramGraph,
  plainDirections,
  plainSpectrum,
} from '../src/prepare/factor.js';
import { rankAt } from '../src/prepare/spectra.js';
import { Random } from '../src/random.js';

type Matrix = readonly (readonly number[])[];

function random(seed: string, rows: number, cols: number): Matrix {
  const values = Random.of(7, seed).fillNormal(new Float32Array(rows * cols));
  return Array.from({ length: rows }, (_, r) => [...values.subarray(r * cols, (r + 1) * cols)]);
}

/** Columns of falling size behind a random mixing: correlated, as the inputs of a layer are. */
function correlated(seed: string, rows: number, cols: number): Matrix {
  const mixing = random(`${seed} mixing`, cols, cols);
  const scaled = random(seed, rows, cols).map((row) => row.map((v, c) => v * 0.6 ** c));
  return times(scaled, mixing);
}

function times(a: Matrix, b: Matrix): Matrix {
  return a.map((row) => b[0].map((_, j) => row.reduce((sum, v, k) => sum + v * b[k][j], 0)));
}

function transpose(a: Matrix): Matrix {
  return a[0].map((_, j) => a.map((row) => row[j]));
}

function minus(a: Matrix, b: Matrix): Matrix {
  return a.map((row, i) => row.map((v, j) => v - b[i][j]));
}

function norm(a: Matrix): number {
  return Math.sqrt(a.flat().reduce((sum, v) => sum + v * v, 0));
}

function flat(a: Matrix): Float64Array {
  return Float64Array.from(a.flat());
}

function matrix(data: ArrayLike<number>, rows: number, cols: number): Matrix {
  const all = Array.from(data);
  return Array.from({ length: rows }, (_, r) => all.slice(r * cols, (r + 1) * cols));
}

/** E[v vᵀ] of the rows v. */
function moment(rows: Matrix): Matrix {
  return times(transpose(rows), rows).map((row) => row.map((v) => v / rows.length));
}

const eye = (n: number): Matrix =>
  Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => Number(i === j)));

interface Case {
  readonly w: Matrix;
  readonly rank: number;
  /** Tokens' inputs and output gradients; null: plain. */
  readonly data: { readonly x: Matrix; readonly g: Matrix } | null;
}

/** M and S of moments.ts without what is mixed in. */
function momentsOf(w: Matrix, { x, g }: { readonly x: Matrix; readonly g: Matrix }) {
  const wide = w.length > w[0].length;
  const [metric, signal] = wide
    ? [moment(x), moment(times(g, w))]
    : [moment(g), moment(times(x, transpose(w)))];
  return { metric, signal };
}

async function decompose(kind: ExecutorKind, { w, rank, data }: Case) {
  const [outputs, inputs] = [w.length, w[0].length];
  const size = Math.min(outputs, inputs);
  const graphs: Readonly<Record<string, Graph>> = data
    ? { spectrum: dataSpectrum(size), directions: dataDirections(size, rank) }
    : {
        gram: gramGraph(outputs, inputs),
        spectrum: plainSpectrum(size),
        directions: plainDirections(size, rank),
      };
  const factor = factorGraph({ outputs, inputs, rank }, data !== null);
  const entries = Object.entries({ ...graphs, factor });
  const executor = await kind.load(
    plan(entries.map(([name, graph]) => ({ name, graph: prune(graph) }))),
  );
  const run = async (entry: string, given: Readonly<Record<string, HostData>>) => {
    for (const [name, value] of Object.entries(given)) executor.write(`${entry}.${name}`, value);
    await executor.run(entry);
  };
  const weight = flat(w);
  let energies: readonly number[];
  if (data) {
    const { metric, signal } = momentsOf(w, data);
    await run('spectrum', { metric: flat(metric), signal: flat(signal) });
    const root = await executor.read('spectrum.root');
    energies = Array.from(await executor.read('spectrum.energies'));
    await run('directions', { root, signal: flat(signal) });
  } else {
    await run('gram', { weight });
    const gram = await executor.read('gram.gram');
    await run('spectrum', { gram });
    energies = Array.from(await executor.read('spectrum.energies'));
    await run('directions', { gram });
  }
  const near = await executor.read('directions.near');
  await run('factor', {
    weight,
    near,
    ...(data && { far: await executor.read('directions.far') }),
  });
  const left = transpose(matrix(await executor.read('factor.left'), rank, outputs));
  const right = matrix(await executor.read('factor.right'), rank, inputs);
  await executor.dispose();
  return { energies, left, right, product: times(left, right) };
}

/** ‖G½ (W − W_K) C½‖² as the mean of (gᵀ (W − W_K) x)² over all pairs of tokens. */
function expectedChange(difference: Matrix, x: Matrix, g: Matrix): number {
  return norm(times(times(g, difference), transpose(x))) ** 2 / (x.length * g.length);
}

const SHAPES = [
  [5, 9],
  [9, 5],
  [8, 8],
] as const;

describe.each([referenceExecutor, wasmExecutor])('factors on $name', (kind) => {
  const digits = kind === referenceExecutor ? 9 : 4;

  it.each(SHAPES)('reproduce %i × %i at full rank', async (outputs, inputs) => {
    const rank = Math.min(outputs, inputs);
    const w = random('w', outputs, inputs);
    const data = { x: correlated('x', 60, inputs), g: correlated('g', 60, outputs) };
    for (const given of [null, data]) {
      const { left, product } = await decompose(kind, { w, rank, data: given });
      expect(norm(minus(product, w)) / norm(w)).toBeCloseTo(0, given && digits < 9 ? 2 : digits);
      expect(norm(minus(times(transpose(left), left), eye(rank)))).toBeCloseTo(0, digits);
    }
  });

  it.each(SHAPES)('of %i × %i lose what the spectrum says, plain', async (outputs, inputs) => {
    const w = random('w', outputs, inputs);
    const { energies: all } = await decompose(kind, { w, rank: 1, data: null });
    for (const epsilon of [0.5, 0.7, 0.9]) {
      const rank = rankAt(all, epsilon);
      const { left, right, product } = await decompose(kind, { w, rank, data: null });
      const tail = all.slice(rank).reduce((a, b) => a + b, 0) / all.reduce((a, b) => a + b);
      const error = norm(minus(w, product)) / norm(w);
      expect(error).toBeCloseTo(Math.sqrt(tail), digits - 1);
      expect(error).toBeLessThanOrEqual(Math.sqrt(1 - epsilon) + 1e-6);
      // One step of subspace iteration on the same W leaves the error where it is.
      const step = times(w, times(transpose(w), left));
      const { left: q } = await decompose(kind, { w: step, rank, data: null });
      const again = times(q, times(transpose(q), w));
      expect(norm(minus(w, again)) / norm(w)).toBeCloseTo(error, digits - 1);
      expect(norm(minus(times(transpose(left), w), right))).toBeCloseTo(0, digits - 1);
    }
  });

  it.each(SHAPES)('of %i × %i are the optimum of the data', async (outputs, inputs) => {
    const w = random('w', outputs, inputs);
    const data = { x: correlated('x', 60, inputs), g: correlated('g', 60, outputs) };
    for (const rank of [1, 2, 3]) {
      const { energies, left, product } = await decompose(kind, { w, rank, data });
      const plain = await decompose(kind, { w, rank, data: null });
      const change = expectedChange(minus(w, product), data.x, data.g);
      const total = energies.reduce((a, b) => a + b);
      const tail = energies.slice(rank).reduce((a, b) => a + b, 0);
      expect(change / total).toBeCloseTo(tail / total, digits - 1);
      expect(change).toBeLessThan(expectedChange(minus(w, plain.product), data.x, data.g));
      expect(norm(minus(times(transpose(left), left), eye(rank)))).toBeCloseTo(0, digits);
    }
  });
});

it('truncation by data leaves a fraction of the output error of plain truncation', async () => {
  const w = random('w', 24, 16);
  const x = correlated('x', 200, 16);
  const errors = [];
  for (const data of [null, { x, g: random('g', 200, 24) }]) {
    const { product } = await decompose(referenceExecutor, { w, rank: 6, data });
    const difference = times(x, transpose(minus(w, product)));
    errors.push(norm(difference) / norm(times(x, transpose(w))));
  }
  expect(errors.map((error) => Number(error.toFixed(4)))).toMatchInlineSnapshot(`
    [
      0.624,
      0.0324,
    ]
  `);
  expect(errors[1]).toBeLessThan(0.25 * errors[0]);
});
