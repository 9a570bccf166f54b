/** The gradient of hard_swish: 0 up to −3 and 1 from 3 on, as of PyTorch at the kinks. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { POINTWISE_GRAD, pointwiseGradResult } from './pointwise.js';
import type { NoParams } from './shapes.js';

/** dx = dy · (x / 3 + 1/2) where −3 < x < 3, else 0 or dy. */
export const hardSwishGrad: Op<NoParams, 'x' | 'dy', never, 'dx', never> = {
  ...POINTWISE_GRAD,
  name: 'hard_swish_grad',
  gradientOf: 'hard_swish',
  summary: 'dx = dy · (x / 3 + 1/2) where −3 < x < 3, else 0 or dy',
  inputs: ['x', 'dy'],
  params: {},
  infer: ({ x, dy }, _params, at) => pointwiseGradResult('x', x, dy, at),
  flops: ({ x }) => 5 * elements(x.shape),
  reference: ({ x, dy }, { dx }) => {
    for (let i = 0; i < dx.length; i++) dx[i] = dy[i] * slope(x[i]);
  },
  inPlace: [
    ['dx', 'dy'],
    ['dx', 'x'],
  ],
  samples: [
    {
      title: 'at the kinks',
      params: {},
      inputs: {
        x: { type: f32(6), values: [-3, 3, -3.001, 3.001, -2.999, 2.999] },
        dy: { type: f32(6) },
      },
    },
    {
      title: 'small',
      params: {},
      inputs: { x: { type: f32(3, 5), low: -4, high: 4 }, dy: { type: f32(3, 5) } },
    },
    {
      title: 'tails',
      params: {},
      inputs: { x: { type: f32(1, 67), low: -40, high: 40 }, dy: { type: f32(1, 67) } },
    },
    {
      title: 'long',
      params: {},
      inputs: { x: { type: f32(3, 1031), low: -6, high: 6 }, dy: { type: f32(3, 1031) } },
    },
  ],
};

function slope(x: number): number {
  if (x <= -3) return 0;
  return x >= 3 ? 1 : x / 3 + 0.5;
}
