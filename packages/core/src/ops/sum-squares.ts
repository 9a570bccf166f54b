/** Running sum of squares over many tensors: the global gradient norm before clipping. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm, expectType, type NoParams } from './shapes.js';

/** Bytes of the 64 partial sums in double precision of kernels/reduce.c. */
const WORKSPACE_BYTES = 64 * 8;

/** y = total + Σᵢ x[i]². */
export const sumSquares: Op<NoParams, 'x', 'total', 'y', never> = {
  name: 'sum_squares',
  summary: 'y = total + Σᵢ x[i]²',
  inputs: ['x', 'total?'],
  outputs: ['y'],
  params: {},
  infer: ({ x, total }, _params, at) => {
    expectForm(at, 'x', x, 'f32[...]');
    if (total) expectType(at, 'total', total, f32());
    return { y: f32() };
  },
  flops: ({ x }) => 2 * elements(x.shape),
  recompute: 'costly',
  reference: ({ x, total }, { y }) => {
    let sum = total ? total[0] : 0;
    for (let i = 0; i < x.length; i++) sum += x[i] * x[i];
    y[0] = sum;
  },
  inPlace: [['y', 'total']],
  scalars: { count: 'int' },
  encode: ({ x }) => ({ count: elements(x.shape) }),
  workspace: () => WORKSPACE_BYTES,
  samples: [
    { title: 'first', params: {}, inputs: { x: { type: f32(3, 5) } } },
    {
      title: 'running',
      params: {},
      inputs: { x: { type: f32(67) }, total: { type: f32(), low: 0, high: 9 } },
    },
    { title: 'many', params: {}, inputs: { x: { type: f32(257, 277) } } },
    { title: 'scalar', params: {}, inputs: { x: { type: f32() } } },
  ],
};
