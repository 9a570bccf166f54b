/**
 * Cholesky factor of a symmetric matrix that is known to float32, and the factor's inverse.
 *
 * A pivot of at most 2⁻²³ of its own diagonal element cannot be told from zero: it becomes 2⁻²²
 * times the largest diagonal element, and the rest of its row of c zero, so that both results stay
 * finite whatever the matrix.
 *
 * Reference: Golub and Van Loan, "Matrix Computations", 4th edition, algorithm 4.2.1.
 */
import { f32 } from '../ir/types.js';
import { expectShape, type Data, type Op, type Sample } from './op.js';
import { expectForm, roundUp } from './shapes.js';

export type CholeskyParams = {
  /** What is added to the diagonal, as a share of its mean: 0 or more. */
  readonly ridge: number;
};

/** PIVOT_TOLERANCE and PIVOT_FLOOR of kernels/linalg.c. */
const PIVOT_TOLERANCE = 2 ** -23;
const PIVOT_FLOOR = 2 ** -22;

/** cᵀc = a + ridge · (trace a / K) · I, c and inverse = c⁻¹ upper triangular [K, K]. */
export const cholesky: Op<CholeskyParams, 'a', never, never, 'c' | 'inverse'> = {
  name: 'cholesky',
  summary: 'cᵀc = a + ridge · (trace a / K) · I; only the upper triangle of a is read',
  inputs: ['a'],
  outputs: ['c?', 'inverse?'],
  params: { ridge: 'size' },
  infer: ({ a }, { ridge }, at) => {
    expectForm(at, 'a', a, 'f32[K,K]');
    expectShape(a.shape[0] === a.shape[1], at, 'a square matrix a', a);
    expectShape(ridge >= 0, at, 'ridge of 0 or more', `ridge ${String(ridge)}`);
    return { c: a, inverse: a };
  },
  flops: ({ a: { shape }, inverse }) => Math.ceil(shape[0] ** 3 / 3) * (inverse ? 2 : 1),
  recompute: 'costly',
  reference: ({ a }, { c, inverse }, types, { ridge }) => {
    const size = types.a.shape[0];
    const factor = factorOf(a, size, ridge);
    c?.set(factor);
    if (inverse) invert(factor, inverse, size);
  },
  scalars: { size: 'int', ridge: 'float' },
  encode: ({ a }, { ridge }) => ({ size: a.shape[0], ridge }),
  workspace: ({ a }) => triangularBytes(roundUp(a.shape[0], 16)),
  scratch: ({ a }) => 8 * 16 * (roundUp(a.shape[0], 16) + 8),
  /** Made when asked for: their numbers take longer than loading the module. */
  get samples() {
    return [
      sample('one by one', 1, 0, () => 4),
      sample('small', 3, 0, decaying),
      sample('with a ridge', 5, 0.25, decaying),
      sample('odd', 33, 0, decaying),
      sample('many blocks', 130, 0.01, decaying),
      sample('graded', 7, 0, (i, j) => (i === j ? 100 ** -i : 0)),
      sample('rank one', 4, 0, () => 1),
      sample('zero', 3, 0, () => 0),
      sample('indefinite', 3, 0, (i, j) => (i === j ? 1 - 2 * (i % 2) : 0)),
    ];
  },
};

/** triangular_bytes of kernels/linalg.h. */
export function triangularBytes(padded: number): number {
  return padded * (8 * (padded + 8) + 2 * 8 * 16 + 4);
}

/** c of the rows of a, by the definition, with pivots kept positive. */
function factorOf(a: Data, size: number, ridge: number): Float64Array {
  const diagonal = Array.from({ length: size }, (_, i) => a[i * size + i]);
  const shift = (ridge * diagonal.reduce((sum, x) => sum + x, 0)) / size;
  const largest = Math.max(...diagonal) + shift;
  const floor = PIVOT_FLOOR * (largest > 0 ? largest : 1);
  const c = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    /** a(i, j) less what the rows above i account for. */
    const rest = (j: number) => {
      let sum = a[i * size + j] + (i === j ? shift : 0);
      for (let k = 0; k < i; k++) sum -= c[k * size + i] * c[k * size + j];
      return sum;
    };
    const pivot = rest(i);
    const dropped = pivot <= PIVOT_TOLERANCE * (diagonal[i] + shift);
    c[i * size + i] = Math.sqrt(dropped ? floor : pivot);
    if (dropped) continue;
    for (let j = i + 1; j < size; j++) c[i * size + j] = rest(j) / c[i * size + i];
  }
  return c;
}

/** inverse · c = I by forward substitution along the rows of inverse. */
function invert(c: Data, inverse: Data, size: number): void {
  inverse.fill(0);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      let sum = i === j ? 1 : 0;
      for (let k = i; k < j; k++) sum -= inverse[i * size + k] * c[k * size + j];
      inverse[i * size + j] = sum / c[j * size + j];
    }
  }
}

/** Positive definite with a condition of about 50, rows of different lengths. */
function decaying(i: number, j: number): number {
  return 0.6 ** Math.abs(i - j) * (1 + 0.3 * Math.sin(i)) * (1 + 0.3 * Math.sin(j));
}

function sample(
  title: string,
  size: number,
  ridge: number,
  element: (i: number, j: number) => number,
): Sample<CholeskyParams> {
  const values = Array.from({ length: size * size }, (_, at) =>
    element(Math.floor(at / size), at % size),
  );
  return { title, params: { ridge }, inputs: { a: { type: f32(size, size), values } } };
}
