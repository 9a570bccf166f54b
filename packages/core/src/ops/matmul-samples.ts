/** Samples of matmul: every form and epilogue, and extents on both sides of the kernels' tiles. */
import { f32 } from '../ir/types.js';
import type { Sample } from './op.js';
import type { MatmulParams } from './matmul-sizes.js';

type Shape = readonly number[];

interface Options {
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly gelu?: boolean;
  readonly batched?: boolean;
  readonly bias?: Shape;
  readonly residual?: Shape;
}

function sample(title: string, a: Shape, b: Shape, options: Options = {}): Sample<MatmulParams> {
  const { transA = false, transB = false, gelu = false, batched = false } = options;
  const { bias, residual } = options;
  return {
    title,
    params: { transA, transB, gelu, batched },
    inputs: {
      a: { type: f32(...a) },
      b: { type: f32(...b) },
      ...(bias && { bias: { type: f32(...bias) } }),
      ...(residual && { residual: { type: f32(...residual) } }),
    },
  };
}

export const matmulSamples: readonly Sample<MatmulParams>[] = [
  sample('plain', [3, 4], [4, 5]),
  sample('one by one', [1, 1], [1, 1], { bias: [1], residual: [1, 1] }),
  sample('one row', [1, 67], [67, 33]),
  sample('one column', [33, 19], [19, 1]),
  sample('outer product', [17, 1], [1, 35]),
  sample('linear layer', [2, 5, 9], [7, 9], { transB: true, bias: [7] }),
  sample('linear, gelu, residual', [2, 3, 19], [33, 19], {
    transB: true,
    gelu: true,
    bias: [33],
    residual: [2, 3, 33],
  }),
  sample('gelu only', [5, 8], [8, 6], { gelu: true }),
  sample('residual only', [2, 2, 8], [8, 6], { residual: [2, 2, 6] }),
  sample('patch embedding', [2, 4, 12], [5, 3, 2, 2], { transB: true, bias: [5] }),
  sample('through a kernel', [2, 4, 5], [5, 3, 2, 2]),
  sample('weight gradient', [2, 9, 7], [2, 9, 5], { transA: true }),
  sample('both transposed', [2, 3, 4], [5, 2, 3], { transA: true, transB: true, bias: [5] }),
  sample('batched', [2, 3, 4, 5], [2, 3, 5, 6], { batched: true, bias: [6] }),
  sample('batched, b transposed', [3, 9, 5], [3, 7, 5], {
    batched: true,
    transB: true,
    residual: [3, 9, 7],
  }),
  sample('batched, a transposed', [3, 5, 9], [3, 5, 7], { batched: true, transA: true }),
  sample('batched, both transposed', [2, 5, 4], [2, 6, 5], {
    batched: true,
    transA: true,
    transB: true,
    gelu: true,
  }),
  sample('past one tile', [33, 67], [67, 130]),
  sample('past one tile, transposed b', [67, 33], [130, 33], { transB: true, bias: [130] }),
  sample('past one tile, transposed a', [130, 35], [130, 67], { transA: true }),
  sample('past one tile, both transposed', [65, 37], [49, 65], { transA: true, transB: true }),
  sample('deep', [5, 600], [600, 9], { gelu: true, bias: [9], residual: [5, 9] }),
  sample('deep and wide', [3, 400], [337, 400], { transB: true, bias: [337] }),
];
