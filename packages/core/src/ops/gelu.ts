/** Gaussian error linear unit, the exact erf form that ViT checkpoints are trained with. */
import { elements, f32 } from '../ir/types.js';
import { geluGrad } from './gelu-grad.js';
import { normalCdf } from './erf.js';
import type { Op } from './op.js';
import { expectForm, type NoParams } from './shapes.js';

/** y = x · Φ(x), Φ the standard normal distribution function. */
export const gelu: Op<NoParams, 'x', never, 'y', never> = {
  name: 'gelu',
  summary: 'y = x · Φ(x)',
  inputs: ['x'],
  outputs: ['y'],
  params: {},
  infer: ({ x }, _params, at) => {
    expectForm(at, 'x', x, 'f32[...]');
    return { y: x };
  },
  grad: ({ emitter, inputs, outputGrads, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    return { x: emitter.emit(geluGrad, { x: inputs.x, dy: outputGrads.y }, {}).dx };
  },
  flops: ({ x }) => 20 * elements(x.shape),
  recompute: 'cheap',
  rowwise: () => ['x'],
  reference: ({ x }, { y }) => {
    for (let i = 0; i < y.length; i++) y[i] = x[i] * normalCdf(x[i]);
  },
  inPlace: [['y', 'x']],
  scalars: { count: 'int' },
  encode: ({ x }) => ({ count: elements(x.shape) }),
  samples: [
    { title: 'small', params: {}, inputs: { x: { type: f32(3, 5), low: -3, high: 3 } } },
    { title: 'tails', params: {}, inputs: { x: { type: f32(1, 67), low: -12, high: 12 } } },
    { title: 'long', params: {}, inputs: { x: { type: f32(3, 1031), low: -3, high: 3 } } },
  ],
};
