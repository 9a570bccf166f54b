/** The gradient of hard_sigmoid, by its result; at the kinks it is 0, as of PyTorch. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { POINTWISE_GRAD, pointwiseGradResult } from './pointwise.js';
import type { NoParams } from './shapes.js';

/** dx = dy / 6 where 0 < y < 1, else 0. */
export const hardSigmoidGrad: Op<NoParams, 'y' | 'dy', never, 'dx', never> = {
  ...POINTWISE_GRAD,
  name: 'hard_sigmoid_grad',
  gradientOf: 'hard_sigmoid',
  summary: 'dx = dy / 6 where 0 < y < 1, else 0',
  inputs: ['y', 'dy'],
  params: {},
  infer: ({ y, dy }, _params, at) => pointwiseGradResult('y', y, dy, at),
  flops: ({ y }) => 3 * elements(y.shape),
  reference: ({ y, dy }, { dx }) => {
    for (let i = 0; i < dx.length; i++) dx[i] = y[i] <= 0 || y[i] >= 1 ? 0 : dy[i] / 6;
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
