/**
 * Orthonormal rows with the same row space: the Gram–Schmidt step of a subspace iteration.
 *
 * q = T · y with T lower triangular and a positive diagonal, so directions keep their order and
 * sign from step to step. A row whose residual is at most 2⁻²² of its length depends on the rows
 * above it, as far as float32 can tell. Such rows are left out and filled in at the end: each
 * becomes the coordinate direction that all other rows cover least, made orthogonal to them.
 *
 * Reference: Golub and Van Loan, "Matrix Computations", 4th edition, 5.2.8 (modified Gram–Schmidt,
 * here run twice). The kernel factors the Gram matrix instead (Cholesky-QR, run twice).
 */
import { f32 } from '../ir/types.js';
import { triangularBytes } from './cholesky.js';
import { expectShape, type Data, type Op } from './op.js';
import { expectForm, roundUp, type NoParams } from './shapes.js';

/** DEPENDENT of kernels/linalg.c. */
const DEPENDENT = 2 ** -22;

/** q qᵀ = I, rows of q spanning those of y [r, D], r ≤ D. */
export const orthonormalise: Op<NoParams, 'y', never, 'q', never> = {
  name: 'orthonormalise',
  summary: 'q = T · y with q · qᵀ = I, T lower triangular with a positive diagonal',
  inputs: ['y'],
  outputs: ['q'],
  params: {},
  infer: ({ y }, _params, at) => {
    expectForm(at, 'y', y, 'f32[R,D]');
    expectShape(y.shape[0] <= y.shape[1], at, 'y with at most as many rows as columns', y);
    return { q: y };
  },
  flops: ({ y: { shape } }) => 4 * shape[0] * shape[0] * shape[1],
  recompute: 'costly',
  reference: ({ y }, { q }, { y: { shape } }) => {
    const [rows, cols] = shape;
    const dropped: number[] = [];
    for (let i = 0; i < rows; i++) {
      const row = y.slice(i * cols, (i + 1) * cols);
      const before = length(row);
      for (let round = 0; round < 2; round++) projectOut(row, q, i, cols);
      const after = length(row);
      if (after <= DEPENDENT * before) dropped.push(i);
      const scale = after <= DEPENDENT * before ? 0 : 1 / after;
      for (let c = 0; c < cols; c++) q[i * cols + c] = scale * row[c];
    }
    for (const i of dropped) fillRow(q, i, rows, cols);
  },
  scalars: { rows: 'int', cols: 'int' },
  encode: ({ y: { shape } }) => ({ rows: shape[0], cols: shape[1] }),
  workspace: ({ y: { shape } }) => workspaceBytes(shape[0], shape[1]),
  scratch: ({ y: { shape } }) => 12 * 64 * roundUp(shape[0], 32) + 64,
  samples: [
    { title: 'small', params: {}, inputs: { y: { type: f32(3, 5) } } },
    { title: 'one by one', params: {}, inputs: { y: { type: f32(1, 1), values: [-0.5] } } },
    { title: 'one row', params: {}, inputs: { y: { type: f32(1, 67) } } },
    { title: 'odd', params: {}, inputs: { y: { type: f32(17, 131) } } },
    { title: 'far from one', params: {}, inputs: { y: { type: f32(5, 33), low: 1e9, high: 4e9 } } },
    { title: 'three blocks', params: {}, inputs: { y: { type: f32(35, 300) } } },
    { title: 'past one segment', params: {}, inputs: { y: { type: f32(9, 4500) } } },
    { title: 'factored by all threads', params: {}, inputs: { y: { type: f32(130, 400) } } },
  ],
};

function length(row: Data): number {
  let sum = 0;
  for (const x of row) sum += x * x;
  return Math.sqrt(sum);
}

/** row −= its components along the first `rows` rows of q, one after the other. */
function projectOut(row: Data, q: Data, rows: number, cols: number): void {
  for (let j = 0; j < rows; j++) {
    let component = 0;
    for (let c = 0; c < cols; c++) component += q[j * cols + c] * row[c];
    for (let c = 0; c < cols; c++) row[c] -= component * q[j * cols + c];
  }
}

/** Row i, so far zero, becomes a coordinate direction orthogonal to all other rows. */
function fillRow(q: Data, i: number, rows: number, cols: number): void {
  const covered = new Float64Array(cols);
  for (let at = 0; at < q.length; at++) covered[at % cols] += q[at] * q[at];
  let free = 0;
  for (let c = 0; c < cols; c++) if (covered[c] < covered[free]) free = c;
  const row = new Float64Array(cols);
  row[free] = 1;
  for (let round = 0; round < 2; round++) {
    projectOut(row, q, rows, cols);
    const scale = 1 / length(row);
    for (let c = 0; c < cols; c++) row[c] *= scale;
  }
  q.set(row, i * cols);
}

/** orthonormalise_workspace of kernels/linalg.h. */
function workspaceBytes(rows: number, cols: number): number {
  const padded = roundUp(rows, 16);
  const pairs = ((padded / 16) * (padded / 16 + 1)) / 2;
  const gram = 4 * 8 * 256 * pairs;
  const pair = roundUp(2 * 8 * cols, 64);
  return triangularBytes(padded) + 8 * padded * (padded + 8) + Math.max(gram, pair);
}
