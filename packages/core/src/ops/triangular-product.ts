/** A matrix times an upper triangular one, of which the zeros below the diagonal are not multiplied. */
import { f32 } from '../ir/types.js';
import { GEMM_SCRATCH_BYTES } from './matmul.js';
import type { Op, SampleTensor } from './op.js';
import { expectForm, expectType, type NoParams } from './shapes.js';

/** y = x u, x [M, N], u upper triangular [N, N], zeros below its diagonal. */
export const triangularProduct: Op<NoParams, 'x' | 'u', never, 'y', never> = {
  name: 'triangular_product',
  summary: 'y = x u with u upper triangular, zeros included',
  inputs: ['x', 'u'],
  outputs: ['y'],
  params: {},
  infer: ({ x, u }, _params, at) => {
    expectForm(at, 'x', x, 'f32[M,N]');
    const [, size] = x.shape;
    expectType(at, 'u', u, f32(size, size));
    return { y: x };
  },
  flops: ({ x: { shape } }) => shape[0] * shape[1] * (shape[1] + 1),
  recompute: 'costly',
  reference: ({ x, u }, { y }, { x: { shape } }) => {
    const [rows, size] = shape;
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let k = 0; k <= j; k++) sum += x[i * size + k] * u[k * size + j];
        y[i * size + j] = sum;
      }
    }
  },
  scalars: { rows: 'int', size: 'int' },
  encode: ({ x }) => ({ rows: x.shape[0], size: x.shape[1] }),
  scratch: () => GEMM_SCRATCH_BYTES,
  samples: [
    sample('small', 4, 3),
    sample('one column', 5, 1),
    sample('several parts', 37, 150),
    sample('tall', 203, 70),
  ],
};

function sample(title: string, rows: number, size: number) {
  return { title, params: {}, inputs: { x: { type: f32(rows, size) }, u: upper(size) } };
}

/** Of numbers between −1 and 1, the same in every run. */
function upper(size: number): SampleTensor {
  const values = Array.from({ length: size * size }, (_, i) => {
    const [row, column] = [Math.floor(i / size), i % size];
    return row > column ? 0 : Math.sin(1 + 3 * row + 7 * column);
  });
  return { type: f32(size, size), values };
}
