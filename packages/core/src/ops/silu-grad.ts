/** The gradient of silu. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { POINTWISE_GRAD, pointwiseGradResult } from './pointwise.js';
import type { NoParams } from './shapes.js';

/** dx = dy · s · (1 + x · (1 − s)) with s = 1 / (1 + exp(−x)). */
export const siluGrad: Op<NoParams, 'x' | 'dy', never, 'dx', never> = {
  ...POINTWISE_GRAD,
  name: 'silu_grad',
  gradientOf: 'silu',
  summary: 'dx = dy · s · (1 + x · (1 − s)) with s = 1 / (1 + exp(−x))',
  inputs: ['x', 'dy'],
  params: {},
  infer: ({ x, dy }, _params, at) => pointwiseGradResult('x', x, dy, at),
  flops: ({ x }) => 17 * elements(x.shape),
  reference: ({ x, dy }, { dx }) => {
    for (let i = 0; i < dx.length; i++) dx[i] = dy[i] * slope(x[i]);
  },
  inPlace: [
    ['dx', 'dy'],
    ['dx', 'x'],
  ],
  samples: [
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
  const gate = 1 / (1 + Math.exp(-x));
  return gate * (1 + x * (1 - gate));
}
