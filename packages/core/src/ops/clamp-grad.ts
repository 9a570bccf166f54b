/** The gradient of clamp, by its result: what lies on a bound was held there. */
import { elements, f32 } from '../ir/types.js';
import {
  CLAMP_PARAMS,
  CLAMP_SCALARS,
  encodeClamp,
  expectBounds,
  type ClampParams,
} from './clamp-bounds.js';
import type { Op } from './op.js';
import { POINTWISE_GRAD, pointwiseGradResult } from './pointwise.js';

/** dx = dy where low < y < high, else 0. */
export const clampGrad: Op<ClampParams, 'y' | 'dy', never, 'dx', never> = {
  ...POINTWISE_GRAD,
  name: 'clamp_grad',
  gradientOf: 'clamp',
  summary: 'dx = dy where low < y < high, else 0',
  inputs: ['y', 'dy'],
  params: CLAMP_PARAMS,
  infer: ({ y, dy }, params, at) => {
    expectBounds(params, at);
    return pointwiseGradResult('y', y, dy, at);
  },
  flops: ({ y }) => 2 * elements(y.shape),
  reference: ({ y, dy }, { dx }, _types, { low = NaN, high = NaN }) => {
    // NaN compares with nothing: as a bound it holds nothing, as y it lets the gradient pass.
    for (let i = 0; i < dx.length; i++) dx[i] = y[i] <= low || y[i] >= high ? 0 : dy[i];
  },
  inPlace: [
    ['dx', 'dy'],
    ['dx', 'y'],
  ],
  scalars: { ...POINTWISE_GRAD.scalars, ...CLAMP_SCALARS },
  encode: (types, params) => ({ ...POINTWISE_GRAD.encode(types), ...encodeClamp(params) }),
  samples: [
    {
      title: 'on the bounds',
      params: { low: 0, high: 6 },
      inputs: {
        y: { type: f32(2, 4), values: [0, 1e-6, 3, 5.5, 6, 0, 6, 2] },
        dy: { type: f32(2, 4) },
      },
    },
    {
      title: 'ReLU',
      params: { low: 0 },
      inputs: { y: { type: f32(3, 347) }, dy: { type: f32(3, 347) } },
    },
    {
      title: 'high alone',
      params: { high: 0.25 },
      inputs: { y: { type: f32(3, 1031) }, dy: { type: f32(3, 1031) } },
    },
    { title: 'scalar', params: { low: -1 }, inputs: { y: { type: f32() }, dy: { type: f32() } } },
  ],
};
