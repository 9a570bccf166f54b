/**
 * What defines the factorisations, on matrices that their samples leave out: large ones, nearly
 * singular ones, degenerate ones.
 */
import { describe, expect, it } from 'vitest';
import type { ExecutorKind, HostData } from '../src/executors/executor.js';
import { OPS } from '../src/ops/index.js';
import { EXECUTORS, FAST_EXECUTORS } from './executors.js';
import {
  farthest,
  identity,
  matrix,
  normal,
  productT,
  runOp,
  transposed,
  type Matrix,
} from './matrices.js';

const { cholesky, mode_contract, mode_product, orthonormalise } = OPS;

/** Rows of y with singular values from 1 down to `smallest`, evenly in the logarithm. */
function conditioned(rows: number, cols: number, smallest: number): Matrix {
  const left = orthonormal(rows, rows);
  const right = orthonormal(rows, cols);
  const scaled = left.map((x, at) => x * smallest ** ((at % rows) / (rows - 1)));
  const product = productT(scaled, transposed(right, rows), rows, cols);
  return { shape: [rows, cols], data: Float32Array.from(product) };
}

/** Random orthonormal rows in float64. */
function orthonormal(rows: number, cols: number): Float64Array {
  const y = Float64Array.from(normal(rows, cols).data);
  const q = new Float64Array(y.length);
  const type = { dtype: 'f32', shape: [rows, cols] } as const;
  orthonormalise.reference({ y }, { q }, { y: type, q: type }, {});
  return q;
}

async function orthonormalised(kind: ExecutorKind, y: Matrix, threads = 2): Promise<HostData> {
  return (await runOp(kind, orthonormalise, { y }, {}, threads)).q;
}

function expectOrthonormal(q: HostData, rows: number): void {
  expect(farthest(productT(q, q, rows, rows), identity(rows))).toBeLessThan(1e-6);
}

/** y = T q with T lower triangular and its diagonal at least 0: the order of Gram and Schmidt. */
function expectTriangular(y: HostData, q: HostData, rows: number): void {
  const t = productT(y, q, rows, rows);
  const cols = y.length / rows;
  const back = productT(t, transposed(q, rows), rows, cols);
  for (let i = 0; i < rows; i++) {
    const row = y.subarray(i * cols, (i + 1) * cols);
    const length = Math.hypot(...row);
    expect(t[i * rows + i]).toBeGreaterThanOrEqual(-1e-6 * length);
    for (let j = i + 1; j < rows; j++) {
      expect(Math.abs(t[i * rows + j])).toBeLessThanOrEqual(1e-6 * length);
    }
    expect(farthest(row, back.subarray(i * cols))).toBeLessThanOrEqual(1e-6 * length);
  }
}

describe.each(EXECUTORS)('orthonormalise on $name', (kind) => {
  it.each([1e-2, 1e-4, 1e-6])(
    'keeps the row space at singular values 1 to %d',
    async (smallest) => {
      const y = conditioned(24, 150, smallest);
      const q = await orthonormalised(kind, y);
      expectOrthonormal(q, 24);
      expectTriangular(y.data, q, 24);
    },
  );

  it('fills in for rows that are zero, repeated or combinations of others', async () => {
    const { data } = normal(6, 37);
    const at = (i: number, j: number) => data[i * 37 + j];
    const y = matrix(6, 37, (i, j) => {
      if (i === 1) return 0;
      if (i === 3) return at(2, j);
      if (i === 4) return 3 * at(0, j) - 2 * at(2, j);
      return at(i, j);
    });
    const q = await orthonormalised(kind, y);
    expectOrthonormal(q, 6);
    expectTriangular(y.data, q, 6);
    for (const row of [1, 3, 4]) {
      const filled = q.subarray(row * 37, (row + 1) * 37);
      expect(Math.max(...filled)).toBe(Math.max(...filled.map(Math.abs)));
    }
  });

  it('makes the first coordinate directions of nothing', async () => {
    const q = await orthonormalised(
      kind,
      matrix(5, 19, () => 0),
    );
    expect(Array.from(q)).toEqual(Array.from(matrix(5, 19, (i, j) => Number(i === j)).data));
  });

  it('fills in a whole square', async () => {
    const y = matrix(18, 18, (_, j) => 1 + j);
    const q = await orthonormalised(kind, y);
    expectOrthonormal(q, 18);
    expectTriangular(y.data, q, 18);
  });

  it('does not depend on the unit of a row', async () => {
    const y = normal(7, 45);
    const scaled = matrix(7, 45, (i, j) => 2 ** (30 * (i % 3) - 30) * y.data[i * 45 + j]);
    const q = await orthonormalised(kind, scaled);
    expect(farthest(q, await orthonormalised(kind, y))).toBeLessThan(1e-6);
  });

  it('shows NaN', async () => {
    const y = matrix(3, 20, (i, j) => (i === 1 && j === 4 ? NaN : Math.sin(i + j * j)));
    const q = await orthonormalised(kind, y);
    expect(q.subarray(20).every(Number.isNaN)).toBe(true);
  });
});

/** [k, k]: x xᵀ / n for a random x [k, n]. */
function gram(k: number, n: number): Matrix {
  const { data } = normal(k, n);
  const product = productT(data, data, k, k);
  return { shape: [k, k], data: Float32Array.from(product, (x) => x / n) };
}

describe.each(FAST_EXECUTORS)('cholesky on $name', (kind) => {
  it.each([16, 100, 257])('of %d rows: factor, inverse, exact zeros', async (k) => {
    const a = gram(k, 3 * k);
    const { c, inverse } = await runOp(kind, cholesky, { a }, { ridge: 0.01 });
    const columns = transposed(c, k);
    const trace = a.data.filter((_, at) => at % (k + 1) === 0).reduce((sum, x) => sum + x);
    const back = productT(columns, columns, k, k);
    const shifted = a.data.map((x, at) => x + (at % (k + 1) === 0 ? (0.01 * trace) / k : 0));
    expect(farthest(back, shifted)).toBeLessThan(2e-6);
    expect(farthest(productT(inverse, columns, k, k), identity(k))).toBeLessThan(1e-5);
    for (const upper of [c, inverse]) {
      const below = upper.filter((_, at) => at % k < Math.floor(at / k));
      expect(below.every((x: number) => Object.is(x, 0))).toBe(true);
    }
  });

  it.each([3, 60, 200])('of %d rows of rank 2 stays finite and near', async (k) => {
    const a = gram(k, 2);
    const { c, inverse } = await runOp(kind, cholesky, { a }, { ridge: 0 });
    const columns = transposed(c, k);
    const largest = Math.max(...a.data);
    expect(farthest(productT(columns, columns, k, k), a.data)).toBeLessThan(2e-6 * largest);
    expect(inverse.every(Number.isFinite)).toBe(true);
  });
});

/** [6, 50, 300]; the matrices have `rows` rows along the axis `mode`. */
const SHAPE = [6, 50, 300];
const tensorAnd = (mode: number, rows: number) => ({
  x: normal(...SHAPE),
  u: normal(rows, SHAPE[mode]),
});
const tensors = (mode: number, rows: number) => ({
  x: normal(...SHAPE),
  z: normal(...SHAPE.with(mode, rows)),
});

describe.each(FAST_EXECUTORS)('mode products on $name', (kind) => {
  it.each([0, 1, 2])('along axis %d: contract(x, x ×ₘ u) = u · contract(x, x)', async (mode) => {
    const rows = 4;
    const extent = SHAPE[mode];
    const { x, u } = tensorAnd(mode, rows);
    const product = await runOp(kind, mode_product, { x, u }, { mode, transposed: false });
    const z = { shape: SHAPE.with(mode, rows), data: Float32Array.from(product.y) };
    const { y } = await runOp(kind, mode_contract, { x, z }, { mode });
    const { y: square } = await runOp(kind, mode_contract, { x, z: x }, { mode });
    expect(farthest(square, transposed(square, extent))).toBe(0);
    const expected = productT(u.data, square, rows, extent);
    const scale = Math.max(...expected.map(Math.abs));
    expect(farthest(y, expected)).toBeLessThan(2e-6 * scale);
  });

  it.each([0, 1, 2])('along axis %d: orthonormal rows there and back project', async (mode) => {
    const rows = 5;
    const { x, u } = tensorAnd(mode, rows);
    const { q } = await runOp(kind, orthonormalise, { y: u }, {});
    const factor = { shape: u.shape, data: Float32Array.from(q) };
    const there = async (tensor: Matrix) => {
      const { y } = await runOp(
        kind,
        mode_product,
        { x: tensor, u: factor },
        { mode, transposed: false },
      );
      return { shape: SHAPE.with(mode, rows), data: Float32Array.from(y) };
    };
    const core = await there(x);
    const { y } = await runOp(
      kind,
      mode_product,
      { x: core, u: factor },
      { mode, transposed: true },
    );
    const again = await there({ shape: SHAPE, data: Float32Array.from(y) });
    expect(farthest(again.data, core.data)).toBeLessThan(1e-5);
  });
});

describe.each(FAST_EXECUTORS)('$name has the same bits on 1, 2 and 4 threads', (kind) => {
  it.each([
    ['orthonormalise, few rows', orthonormalise, { y: normal(20, 700) }, {}],
    ['orthonormalise, many rows', orthonormalise, { y: normal(150, 700) }, {}],
    ['cholesky', cholesky, { a: gram(150, 300) }, { ridge: 0.1 }],
    ['mode_product, last', mode_product, tensorAnd(2, 21), { mode: 2, transposed: false }],
    ['mode_product, middle', mode_product, tensorAnd(1, 21), { mode: 1, transposed: false }],
    ['mode_contract, first', mode_contract, tensors(0, 5), { mode: 0 }],
    ['mode_contract, middle', mode_contract, tensors(1, 21), { mode: 1 }],
    ['mode_contract, last', mode_contract, tensors(2, 21), { mode: 2 }],
  ] as const)('%s', async (_title, op, inputs, params) => {
    const one = await runOp(kind, op, inputs, params, 1);
    expect(await runOp(kind, op, inputs, params, 2)).toEqual(one);
    expect(await runOp(kind, op, inputs, params, 4)).toEqual(one);
  });
});
