/**
 * How matmul reads its operands as matrices: op(a) is [m, k], op(b) is [k, n]; |L| multiplies the
 * extents L.
 *
 *   batched      a [...L, m, k], b [...L, k, n], the last two axes swapped when transposed;
 *                y [...L, m, n].
 *   not batched  one product, with axes folded.
 *                a [...L, k]: m = |L|, y [...L, n]; transA: a [...L, m], k = |L|, y [m, n].
 *                b [first, ...R] is the matrix [first, |R|], so that a convolution kernel
 *                [O, C, p, p] is [O, C·p·p]; with transA only, b [...L, n] folds like a.
 */
import { elements, type Shape } from '../ir/types.js';
import { lastOf, rowsOf } from './shapes.js';

export type MatmulParams = {
  readonly transA: boolean;
  readonly transB: boolean;
  /** Apply GELU before the residual is added; the value before it is the output `pre`. */
  readonly gelu: boolean;
  /** Leading axes of a and b are batches rather than folded. */
  readonly batched: boolean;
};

export interface MatrixSizes {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** k according to a and according to b; equal in a legal node. */
  readonly inner: readonly [number, number];
}

/** The product that a node computes; `inner` disagrees when b does not fit a. */
export function matrixSizes(a: Shape, b: Shape, params: MatmulParams): MatrixSizes {
  const { transA, transB, batched } = params;
  const batch = batched ? elements(a.slice(0, -2)) : 1;
  const aCols = lastOf(a);
  const aRows = rowsOf(a) / batch;
  const foldsLikeA = !batched && transA && !transB;
  const bCols = batched || foldsLikeA ? lastOf(b) : elements(b.slice(1));
  const bRows = batched ? b[b.length - 2] : elements(b) / bCols;
  const [m, k] = transA ? [aCols, aRows] : [aRows, aCols];
  const [n, bInner] = transB ? [bRows, bCols] : [bCols, bRows];
  return { batch, m, n, k, inner: [k, bInner] };
}

/** Shape of y. */
export function resultShape(a: Shape, b: Shape, params: MatmulParams): Shape {
  const { m, n } = matrixSizes(a, b, params);
  if (params.batched) return [...a.slice(0, -2), m, n];
  return params.transA ? [m, n] : [...a.slice(0, -1), n];
}
