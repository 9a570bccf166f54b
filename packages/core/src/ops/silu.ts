/** Sigmoid linear unit, also called swish: the activation of EfficientNet. */
import { elements } from '../ir/types.js';
import { siluGrad } from './silu-grad.js';
import type { Op } from './op.js';
import { POINTWISE, pointwiseResult, POINTWISE_SAMPLES } from './pointwise.js';
import type { NoParams } from './shapes.js';

/** y = x / (1 + e⁻ˣ). */
export const silu: Op<NoParams, 'x', never, 'y', never> = {
  ...POINTWISE,
  name: 'silu',
  summary: 'y = x / (1 + exp(−x))',
  params: {},
  infer: (types, _params, at) => pointwiseResult(types, at),
  grad: ({ emitter, inputs, outputGrads, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    return { x: emitter.emit(siluGrad, { x: inputs.x, dy: outputGrads.y }, {}).dx };
  },
  flops: ({ x }) => 13 * elements(x.shape),
  reference: ({ x }, { y }) => {
    for (let i = 0; i < y.length; i++) y[i] = x[i] / (1 + Math.exp(-x[i]));
  },
  samples: POINTWISE_SAMPLES.map(({ title, x }) => ({ title, params: {}, inputs: { x } })),
};
