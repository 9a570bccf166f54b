/**
 * A matrix times its transpose: symmetric, so that half of it is computed and the rest is copied.
 */
import { f32 } from '../ir/types.js';
import { GEMM_SCRATCH_BYTES } from './matmul.js';
import type { Op } from './op.js';
import { expectForm } from './shapes.js';

export type GramParams = {
  /** True: of the columns, xᵀx. False: of the rows, x xᵀ. */
  readonly columns: boolean;
};

/** y = x xᵀ [M, M], or xᵀx [N, N] of the columns; x [M, N]. */
export const gram: Op<GramParams, 'x', never, 'y', never> = {
  name: 'gram',
  summary: 'y = x xᵀ, or xᵀx of the columns',
  inputs: ['x'],
  outputs: ['y'],
  params: { columns: 'truth' },
  infer: ({ x }, { columns }, at) => {
    expectForm(at, 'x', x, 'f32[M,N]');
    const size = x.shape[columns ? 1 : 0];
    return { y: f32(size, size) };
  },
  flops: ({ x, y }, { columns }) => x.shape[columns ? 0 : 1] * y.shape[0] * (y.shape[0] + 1),
  recompute: 'costly',
  reference: ({ x }, { y }, { x: { shape } }, { columns }) => {
    const [rows, cols] = shape;
    const [size, depth] = columns ? [cols, rows] : [rows, cols];
    const [step, along] = columns ? [1, cols] : [cols, 1];
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let k = 0; k < depth; k++) sum += x[i * step + k * along] * x[j * step + k * along];
        y[i * size + j] = sum;
      }
    }
  },
  scalars: { size: 'int', depth: 'int', columns: 'int' },
  encode: ({ x, y }, { columns }) => ({
    size: y.shape[0],
    depth: x.shape[columns ? 0 : 1],
    columns: Number(columns),
  }),
  scratch: () => GEMM_SCRATCH_BYTES,
  samples: [
    sample('of rows', [5, 9], false),
    sample('of columns', [9, 5], true),
    sample('one row', [1, 7], false),
    sample('several parts of rows', [150, 41], false),
    sample('several parts of columns', [70, 131], true),
  ],
};

function sample(title: string, shape: readonly number[], columns: boolean) {
  return { title, params: { columns }, inputs: { x: { type: f32(...shape) } } };
}
