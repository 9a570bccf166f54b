/** Gradient of the exact GELU. */
import { elements, f32 } from '../ir/types.js';
import { normalCdf, normalPdf } from './erf.js';
import type { Op } from './op.js';
import { expectForm, expectType, type NoParams } from './shapes.js';

/** dx = dy · (Φ(x) + x · φ(x)). */
export const geluGrad: Op<NoParams, 'x' | 'dy', never, 'dx', never> = {
  name: 'gelu_grad',
  summary: 'dx = dy · (Φ(x) + x · φ(x))',
  inputs: ['x', 'dy'],
  outputs: ['dx'],
  infer: ({ x, dy }, _params, at) => {
    expectForm(at, 'x', x, 'f32[...]');
    expectType(at, 'dy', dy, x);
    return { dx: x };
  },
  flops: ({ x }) => 30 * elements(x.shape),
  recompute: 'cheap',
  reference: ({ x, dy }, { dx }) => {
    for (let i = 0; i < dx.length; i++) {
      dx[i] = dy[i] * (normalCdf(x[i]) + x[i] * normalPdf(x[i]));
    }
  },
  inPlace: [
    ['dx', 'dy'],
    ['dx', 'x'],
  ],
  scalars: { count: 'int' },
  encode: ({ x }) => ({ count: elements(x.shape) }),
  samples: [
    {
      title: 'small',
      params: {},
      inputs: { x: { type: f32(3, 5), low: -3, high: 3 }, dy: { type: f32(3, 5) } },
    },
    {
      title: 'tails',
      params: {},
      inputs: { x: { type: f32(1, 67), low: -12, high: 12 }, dy: { type: f32(1, 67) } },
    },
    {
      title: 'long',
      params: {},
      inputs: { x: { type: f32(3, 1031), low: -3, high: 3 }, dy: { type: f32(3, 1031) } },
    },
  ],
};
