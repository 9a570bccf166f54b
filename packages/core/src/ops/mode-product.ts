/**
 * Product of a tensor with a matrix along one axis: how Tucker factors are applied.
 *
 * Reference: Kolda and Bader, "Tensor Decompositions and Applications", 2009, section 2.5.
 */
import { elements, f32, type Shape, type TensorType } from '../ir/types.js';
import { GEMM_SCRATCH_BYTES } from './matmul.js';
import { expectShape, type Op, type Sample } from './op.js';
import { expectForm } from './shapes.js';

export type ModeProductParams = {
  /** The axis, from 0. */
  readonly mode: number;
  /** Multiply by uᵀ: from r back to D. */
  readonly transposed: boolean;
};

/** y = x ×ₘ u: y[p,i,q] = Σ_d u[i,d] · x[p,d,q], p before the axis and q behind it; u [r, D]. */
export const modeProduct: Op<ModeProductParams, 'x' | 'u', never, 'y', never> = {
  name: 'mode_product',
  summary: 'y[p,i,q] = Σ_d m[i,d] · x[p,d,q], m = u [r,D], or uᵀ when transposed',
  inputs: ['x', 'u'],
  outputs: ['y'],
  params: { mode: 'whole', transposed: 'truth' },
  infer: ({ x, u }, { mode, transposed }, at) => {
    expectMode(at, x, mode);
    expectForm(at, 'u', u, transposed ? 'f32[D,R]' : 'f32[R,D]');
    const [rows, extent] = matrixSizes(u.shape, transposed);
    const axis = transposed ? 'rows' : 'columns';
    expectShape(extent === x.shape[mode], at, `u with ${String(x.shape[mode])} ${axis}`, u);
    return { y: f32(...x.shape.with(mode, rows)) };
  },
  flops: ({ x, u }, { transposed }) => 2 * elements(x.shape) * matrixSizes(u.shape, transposed)[0],
  keepExact: ['y'],
  recompute: 'costly',
  reference: ({ x, u }, { y }, types, { mode, transposed }) => {
    const { outer, extent, inner } = modeSizes(types.x.shape, mode);
    const [rows] = matrixSizes(types.u.shape, transposed);
    const [row, col] = transposed ? [1, rows] : [extent, 1]; // steps between neighbours of m
    y.fill(0);
    for (let p = 0; p < outer; p++) {
      for (let i = 0; i < rows; i++) {
        for (let d = 0; d < extent; d++) {
          for (let q = 0; q < inner; q++) {
            y[(p * rows + i) * inner + q] += u[i * row + d * col] * x[(p * extent + d) * inner + q];
          }
        }
      }
    }
  },
  scalars: { outer: 'int', extent: 'int', inner: 'int', rows: 'int', transposed: 'int' },
  encode: ({ x, u }, { mode, transposed }) => ({
    ...modeSizes(x.shape, mode),
    rows: matrixSizes(u.shape, transposed)[0],
    transposed: Number(transposed),
  }),
  scratch: () => GEMM_SCRATCH_BYTES,
  samples: [
    sample('one by one', [1, 1], 0, 1),
    sample('first of two', [5, 7], 0, 3),
    sample('last of two', [5, 7], 1, 3),
    sample('first of two, back', [5, 7], 0, 3, true),
    sample('first of three', [5, 7, 19], 0, 4),
    sample('middle of three', [3, 35, 67], 1, 9),
    sample('middle of three, back', [3, 5, 67], 1, 33, true),
    sample('last of three', [3, 17, 67], 2, 9),
    sample('last of three, back', [3, 17, 9], 2, 131, true),
    sample('second of four', [2, 7, 5, 9], 1, 4),
    sample('third of four', [2, 7, 5, 9], 2, 6, true),
    sample('long', [2, 400, 33], 1, 17),
    sample('wide', [1, 19, 700], 1, 15),
    sample('one row, wide', [1, 9], 1, 300, true),
  ],
};

/** The tensor as [outer, extent, inner] around the axis. */
export function modeSizes(shape: Shape, mode: number) {
  return {
    outer: elements(shape.slice(0, mode)),
    extent: shape[mode],
    inner: elements(shape.slice(mode + 1)),
  };
}

/** Checks that x is a tensor of rank 2 to 4 with an axis `mode`. */
export function expectMode(at: string, x: TensorType, mode: number): void {
  expectForm(at, 'x', x, 'f32[...]');
  const rank = x.shape.length;
  expectShape(rank >= 2 && rank <= 4, at, 'x of rank 2 to 4', x);
  expectShape(
    Number.isInteger(mode) && mode >= 0 && mode < rank,
    at,
    `a mode of x, 0 to ${String(rank - 1)}`,
    `mode ${String(mode)}`,
  );
}

/** Rows and columns of m. */
function matrixSizes([rows, cols]: Shape, transposed: boolean): readonly [number, number] {
  return transposed ? [cols, rows] : [rows, cols];
}

function sample(
  title: string,
  shape: readonly number[],
  mode: number,
  rows: number,
  transposed = false,
): Sample<ModeProductParams> {
  const extent = shape[mode];
  const u = transposed ? f32(extent, rows) : f32(rows, extent);
  return {
    title,
    params: { mode, transposed },
    inputs: { x: { type: f32(...shape) }, u: { type: u } },
  };
}
