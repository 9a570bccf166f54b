/**
 * Contraction of two tensors over all axes but one: with z = x ×ₘ u it is one step of subspace
 * iteration, u · (A Aᵀ) with A the unfolding of x along the axis; with z = x it is the Gram matrix
 * A Aᵀ.
 *
 * Reference: Kolda and Bader, "Tensor Decompositions and Applications", 2009, section 2.4.
 */
import { elements, f32 } from '../ir/types.js';
import { GEMM_SCRATCH_BYTES } from './matmul.js';
import { expectMode, modeSizes } from './mode-product.js';
import type { Op, Sample } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type ModeContractParams = {
  /** The axis, from 0, that is not summed over. */
  readonly mode: number;
};

/** y[i,d] = Σ_{p,q} z[p,i,q] · x[p,d,q]; x has D along the axis, z has r, y is [r, D]. */
export const modeContract: Op<ModeContractParams, 'x' | 'z', never, 'y', never> = {
  name: 'mode_contract',
  summary: 'y[i,d] = Σ z[p,i,q] · x[p,d,q] over p before the axis and q behind it',
  inputs: ['x', 'z'],
  outputs: ['y'],
  params: { mode: 'whole' },
  infer: ({ x, z }, { mode }, at) => {
    expectMode(at, x, mode);
    expectForm(at, 'z', z, 'f32[...]');
    const rows = z.shape[mode] ?? 0;
    expectType(at, 'z', z, f32(...x.shape.with(mode, rows)));
    return { y: f32(rows, x.shape[mode]) };
  },
  flops: ({ x, z }, { mode }) => 2 * elements(x.shape) * z.shape[mode],
  recompute: 'costly',
  reference: ({ x, z }, { y }, types, { mode }) => {
    const { outer, extent, inner } = modeSizes(types.x.shape, mode);
    const rows = types.z.shape[mode];
    y.fill(0);
    for (let p = 0; p < outer; p++) {
      for (let i = 0; i < rows; i++) {
        for (let d = 0; d < extent; d++) {
          let sum = 0;
          for (let q = 0; q < inner; q++) {
            sum += z[(p * rows + i) * inner + q] * x[(p * extent + d) * inner + q];
          }
          y[i * extent + d] += sum;
        }
      }
    }
  },
  scalars: { outer: 'int', extent: 'int', inner: 'int', rows: 'int' },
  encode: ({ x, z }, { mode }) => ({ ...modeSizes(x.shape, mode), rows: z.shape[mode] }),
  workspace: ({ x, z }, { mode }) => {
    const { extent, inner } = modeSizes(x.shape, mode);
    const parts = contractParts(extent);
    return inner === 1 && parts === 1 ? 0 : 4 * parts * z.shape[mode] * extent;
  },
  scratch: () => GEMM_SCRATCH_BYTES,
  samples: [
    sample('one by one', [1, 1], 0, 1),
    sample('first of two', [5, 7], 0, 3),
    sample('last of two', [5, 7], 1, 3),
    sample('first of three', [5, 7, 19], 0, 4),
    sample('middle of three', [3, 35, 67], 1, 9),
    sample('last of three', [3, 17, 67], 2, 9),
    sample('second of four', [2, 7, 5, 9], 1, 4),
    sample('third of four', [2, 7, 5, 9], 2, 6),
    sample('long', [2, 33, 400], 1, 17),
    sample('one part', [2, 260, 3], 1, 5),
    sample('one part, last', [7, 3, 260], 2, 5),
    sample('many rows', [3, 40, 11], 1, 140),
  ],
};

/** contract_parts of kernels/tucker.h. */
function contractParts(extent: number): number {
  return Math.ceil(8 / Math.ceil(extent / 32));
}

/** Small elements: the sum is over more terms than the longest axis, by which errors are judged. */
function sample(
  title: string,
  shape: readonly number[],
  mode: number,
  rows: number,
): Sample<ModeContractParams> {
  const range = { low: -0.25, high: 0.25 };
  const z = f32(...shape.with(mode, rows));
  return {
    title,
    params: { mode },
    inputs: { x: { type: f32(...shape), ...range }, z: { type: z, ...range } },
  };
}
