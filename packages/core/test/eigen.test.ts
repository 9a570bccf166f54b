/**
 * What defines eigenvalues and eigenvectors, on matrices that the samples leave out: large, random,
 * degenerate, badly scaled.
 */
import { describe, expect, it } from 'vitest';
import type { ExecutorKind, HostData } from '../src/executors/executor.js';
import { f32 } from '../src/ir/types.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { OPS } from '../src/ops/index.js';
import { prune } from '../src/passes/prune.js';
import { plan } from '../src/plan/plan.js';
import { EXECUTORS, FAST_EXECUTORS } from './executors.js';
import { farthest, identity, matrix, normal, productT, runOp, type Matrix } from './matrices.js';

const { symmetric_eigen: eigen } = OPS;

interface Decomposition {
  readonly values: HostData;
  readonly vectors: HostData;
}

async function decomposed(kind: ExecutorKind, a: Matrix, threads = 2): Promise<Decomposition> {
  const { values, vectors } = await runOp(kind, eigen, { a }, {}, threads);
  return { values, vectors };
}

/** x xᵀ / cols, positive semidefinite, of rank min(rows, cols). */
function gram(rows: number, cols: number): Matrix {
  const x = normal(rows, cols).data;
  const data = Float32Array.from(productT(x, x, rows, rows), (value) => value / cols);
  return { shape: [rows, rows], data };
}

/** Largest error of A vᵢ = λᵢ vᵢ, as a share of the largest |λ|. */
function residual({ data, shape }: Matrix, { values, vectors }: Decomposition): number {
  const [n] = shape;
  const products = productT(vectors, data, n, n); // row i is A vᵢ
  const scale = Math.max(Math.abs(values[0]), Math.abs(values[n - 1])) || 1;
  return farthest(products, (at) => values[Math.floor(at / n)] * vectors[at]) / scale;
}

const CASES: readonly (readonly [string, Matrix])[] = [
  ['random, indefinite', symmetric(61, (i, j) => normalAt(i, j))],
  ['positive definite', gram(96, 200)],
  ['of rank 10', gram(80, 10)],
  ['the identity', matrix(40, 40, (i, j) => Number(i === j))],
  ['zero', matrix(20, 20, () => 0)],
  ['two values only', symmetric(50, (i, j) => (i === j ? 2 : 1))],
  ['falling by ten orders', gramScaled(64)],
  ['tiny', symmetric(30, (i, j) => 1e-20 * normalAt(i, j))],
];

describe.each(EXECUTORS)('symmetric_eigen on $name', (kind) => {
  it.each(CASES)('%s', async (_, a) => {
    const [n] = a.shape;
    const result = await decomposed(kind, a);
    const { values, vectors } = result;
    expect(residual(a, result)).toBeLessThan(1e-6);
    expect(farthest(productT(vectors, vectors, n, n), identity(n))).toBeLessThan(1e-6);
    for (let i = 1; i < n; i++) expect(values[i]).toBeLessThanOrEqual(values[i - 1]);
    for (let i = 0; i < n; i++) {
      const row = [...vectors.subarray(i * n, (i + 1) * n)];
      const largest = row.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0);
      expect(largest).toBeGreaterThan(0);
    }
  });
});

it.each(FAST_EXECUTORS)('large, the same bits on 1, 2 and 4 threads: $name', async (kind) => {
  const a = gram(197, 150);
  const one = await decomposed(kind, a, 1);
  expect(residual(a, one)).toBeLessThan(1e-6);
  expect(await decomposed(kind, a, 2)).toEqual(one);
  expect(await decomposed(kind, a, 4)).toEqual(one);
});

it.each(FAST_EXECUTORS)('batches, the same bits on 1, 2 and 4 threads: $name', async (kind) => {
  const a = normal(5, 40, 40);
  const large = normal(2, 260, 260);
  for (const batch of [a, large]) {
    const one = await decomposed(kind, batch, 1);
    expect(await decomposed(kind, batch, 2)).toEqual(one);
    expect(await decomposed(kind, batch, 4)).toEqual(one);
  }
});

it.each(FAST_EXECUTORS)('values alone are those with vectors: $name', async (kind) => {
  const a = gram(130, 60);
  const builder = new GraphBuilder();
  const { values } = builder.emit(eigen, { a: builder.input('a', f32(130, 130)) }, {});
  const program = plan([{ name: 'op', graph: prune(builder.build({ values })) }]);
  expect(program.entries[0].steps[0].outputs).not.toHaveProperty('vectors');
  const executor = await kind.load(program, { threads: 2 });
  executor.write('op.a', a.data);
  await executor.run('op');
  expect(await executor.read('op.values')).toEqual((await decomposed(kind, a)).values);
  await executor.dispose();
});

it.each(FAST_EXECUTORS)('shows NaN and ends: $name', async (kind) => {
  const a = matrix(200, 200, (i, j) => (i === 3 && j === 7 ? NaN : 1 / (1 + i + j)));
  const { values } = await decomposed(kind, a);
  expect(values.every(Number.isNaN)).toBe(true);
});

function normalAt(i: number, j: number): number {
  return normal(64, 64).data[64 * i + j];
}

function symmetric(n: number, element: (i: number, j: number) => number): Matrix {
  return matrix(n, n, (i, j) => element(Math.min(i, j), Math.max(i, j)));
}

/** D G D with D falling from 1 to 1e-5. */
function gramScaled(n: number): Matrix {
  const { data } = gram(n, 2 * n);
  const factor = (i: number) => 10 ** ((-5 * i) / (n - 1));
  return matrix(n, n, (i, j) => data[i * n + j] * factor(i) * factor(j));
}
