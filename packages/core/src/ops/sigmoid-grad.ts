/** The gradient of sigmoid, by its result. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { POINTWISE_GRAD, pointwiseGradResult } from './pointwise.js';
import type { NoParams } from './shapes.js';

/** dx = dy · y · (1 − y). */
export const sigmoidGrad: Op<NoParams, 'y' | 'dy', never, 'dx', never> = {
  ...POINTWISE_GRAD,
  name: 'sigmoid_grad',
  gradientOf: 'sigmoid',
  summary: 'dx = dy · y · (1 − y)',
  inputs: ['y', 'dy'],
  params: {},
  infer: ({ y, dy }, _params, at) => pointwiseGradResult('y', y, dy, at),
  flops: ({ y }) => 3 * elements(y.shape),
  reference: ({ y, dy }, { dx }) => {
    for (let i = 0; i < dx.length; i++) dx[i] = dy[i] * y[i] * (1 - y[i]);
  },
  inPlace: [
    ['dx', 'dy'],
    ['dx', 'y'],
  ],
  samples: [
    {
      title: 'small',
      params: {},
      inputs: { y: { type: f32(3, 5), low: 0 }, dy: { type: f32(3, 5) } },
    },
    {
      title: 'at the ends',
      params: {},
      inputs: { y: { type: f32(2, 2), values: [0, 1, 1e-6, 0.999] }, dy: { type: f32(2, 2) } },
    },
    {
      title: 'long',
      params: {},
      inputs: { y: { type: f32(3, 1031), low: 0 }, dy: { type: f32(3, 1031) } },
    },
  ],
};
