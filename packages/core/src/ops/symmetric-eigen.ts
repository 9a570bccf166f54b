/**
 * Eigenvalues and eigenvectors of symmetric matrices, accurate relative to the largest value.
 *
 * Vectors are rows, in the order of their values; the largest component of each is positive. Vectors of
 * equal values are any orthonormal basis of their space. Only the upper triangle of a is read.
 *
 * Reference: Golub and Van Loan, "Matrix Computations", 4th edition, sections 8.3 (the kernels) and 8.5.2
 * (cyclic Jacobi, the reference below).
 */
import { f32, type TensorType } from '../ir/types.js';
import { expectShape, type Data, type Op, type Sample } from './op.js';
import { expectForm, roundUp, type NoParams } from './shapes.js';

/** EIGEN_ROTATIONS of kernels/eigen.h: a sweep with a rotation for each row has to fit. */
const MOST_ROWS = 16384;

/** a = Σᵢ values[i] · vectors[i]ᵀ vectors[i], values descending; a [n, n] or a batch [b, n, n]. */
export const symmetricEigen: Op<NoParams, 'a', never, 'values', 'vectors'> = {
  name: 'symmetric_eigen',
  summary: 'a = Σ values[i] · vectors[i]ᵀ vectors[i], values descending; a [n, n] or [b, n, n]',
  inputs: ['a'],
  outputs: ['values', 'vectors?'],
  params: {},
  infer: ({ a }, _params, at) => {
    expectForm(at, 'a', a, 'f32[...,n,n]');
    const { shape } = a;
    const square = shape.length <= 3 && shape[shape.length - 2] === shape[shape.length - 1];
    expectShape(square, at, 'a square matrix or a batch of them', a);
    const most = `at most ${String(MOST_ROWS)} rows`;
    expectShape(shape[shape.length - 1] <= MOST_ROWS, at, most, a);
    return { values: f32(...shape.slice(0, -1)), vectors: a };
  },
  flops: ({ a, vectors }) => {
    const { batch, size } = sizesOf(a);
    return batch * Math.ceil((vectors ? 9 : 4 / 3) * size ** 3);
  },
  recompute: 'costly',
  reference: ({ a }, { values, vectors }, types) => {
    const { batch, size } = sizesOf(types.a);
    for (let b = 0; b < batch; b++) {
      const { diagonal, rows } = jacobi(a.subarray(b * size * size, (b + 1) * size * size), size);
      const order = [...diagonal.keys()].sort((i, j) => diagonal[j] - diagonal[i]);
      order.forEach((from, to) => {
        values[b * size + to] = diagonal[from];
        vectors?.set(signed(rows.subarray(from * size, (from + 1) * size)), (b * size + to) * size);
      });
    }
  },
  scalars: { batch: 'int', size: 'int' },
  encode: ({ a }) => sizesOf(a),
  workspace: ({ a, vectors }) => {
    const { batch, size } = sizesOf(a);
    const slots = size > 256 ? 1 : Math.min(batch, 4);
    return slots * 8 * ((size + 5) * rowOf(size) + (vectors ? size * roundUp(size, 32) : 0));
  },
  scratch: ({ a }) => 8 * (7 * rowOf(sizesOf(a).size) + 2 * MOST_ROWS),
  /** Made when asked for: their numbers take longer than loading the module. */
  get samples() {
    return [
      sample('one by one', [1, 1]),
      sample('two', [2, 2]),
      sample('small', [5, 5]),
      sample('batch', [3, 4, 4]),
      sample('odd', [33, 33]),
      sample('past one block of columns', [70, 70]),
      sample('batch larger than its slots', [6, 17, 17]),
      sample('by all threads', [101, 101]),
      {
        title: 'zero',
        params: {},
        inputs: { a: { type: f32(3, 3), values: new Array(9).fill(0) } },
      },
      {
        title: 'diagonal',
        params: {},
        inputs: { a: { type: f32(3, 3), values: [1, 0, 0, 0, 3, 0, 0, 0, -2] } },
      },
    ];
  },
};

/** eigen_row of kernels/eigen.h. */
function rowOf(size: number): number {
  return roundUp(size, 16) + 8;
}

function sizesOf(a: TensorType): { batch: number; size: number } {
  const { shape } = a;
  return { batch: shape.length === 3 ? shape[0] : 1, size: shape[shape.length - 1] };
}

/** Rotates pairs of rows and columns until nothing is left off the diagonal. */
function jacobi(a: Data, size: number): { diagonal: Float64Array; rows: Float64Array } {
  const m = Float64Array.from(a, (_, at) => {
    const [i, j] = [Math.floor(at / size), at % size];
    return a[Math.min(i, j) * size + Math.max(i, j)];
  });
  const rows = new Float64Array(size * size);
  for (let i = 0; i < size; i++) rows[i * size + i] = 1;
  for (let round = 0; round < 50 && offDiagonal(m, size) > 0; round++) {
    for (let p = 0; p < size; p++)
      for (let q = p + 1; q < size; q++) annihilate(m, rows, size, p, q);
  }
  return { diagonal: Float64Array.from({ length: size }, (_, i) => m[i * size + i]), rows };
}

/** Σ of the squares off the diagonal; 0 once it is lost in rounding. */
function offDiagonal(m: Float64Array, size: number): number {
  let off = 0;
  let all = 0;
  m.forEach((x, at) => {
    all += x * x;
    if (at % (size + 1) !== 0) off += x * x;
  });
  return off <= 1e-32 * all ? 0 : off;
}

function annihilate(m: Float64Array, rows: Float64Array, size: number, p: number, q: number): void {
  const pivot = m[p * size + q];
  if (pivot === 0) return;
  const theta = (m[q * size + q] - m[p * size + p]) / (2 * pivot);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const c = 1 / Math.hypot(t, 1);
  const turn = (x: Float64Array, first: number, second: number) => {
    const [u, v] = [x[first], x[second]];
    x[first] = c * u - c * t * v;
    x[second] = c * t * u + c * v;
  };
  for (let k = 0; k < size; k++) turn(m, k * size + p, k * size + q);
  for (let k = 0; k < size; k++) turn(m, p * size + k, q * size + k);
  for (let k = 0; k < size; k++) turn(rows, p * size + k, q * size + k);
}

/** The vector with its largest component positive. */
function signed(vector: Float64Array): Float64Array {
  let largest = 0;
  vector.forEach((x, i) => {
    if (Math.abs(x) > Math.abs(vector[largest])) largest = i;
  });
  return vector[largest] < 0 ? vector.map((x) => -x) : vector;
}

/** Separated values: a diagonal that grows, and smaller elements beside it. */
function sample(title: string, shape: readonly number[]): Sample<NoParams> {
  const size = shape[shape.length - 1];
  const count = shape.reduce((product, extent) => product * extent, 1);
  const values = Array.from({ length: count }, (_, at) => {
    const [i, j] = [Math.floor((at % (size * size)) / size), at % size];
    const shift = Math.floor(at / (size * size));
    return i === j
      ? 1 + (i + shift) / 3
      : 0.3 * Math.cos((i + 1) * (j + 1) + shift) * 0.7 ** Math.abs(i - j);
  });
  // Symmetric: the cosine of a product is; the rest depends on |i − j|.
  return { title, params: {}, inputs: { a: { type: f32(...shape), values } } };
}
