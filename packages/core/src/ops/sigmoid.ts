/** The logistic function. */
import { elements } from '../ir/types.js';
import { sigmoidGrad } from './sigmoid-grad.js';
import type { Op } from './op.js';
import { POINTWISE, pointwiseResult, POINTWISE_SAMPLES } from './pointwise.js';
import type { NoParams } from './shapes.js';

/** y = 1 / (1 + e⁻ˣ); its result alone tells the gradient. */
export const sigmoid: Op<NoParams, 'x', never, 'y', never> = {
  ...POINTWISE,
  name: 'sigmoid',
  summary: 'y = 1 / (1 + exp(−x))',
  params: {},
  infer: (types, _params, at) => pointwiseResult(types, at),
  grad: ({ emitter, outputs, outputGrads, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    return { x: emitter.emit(sigmoidGrad, { y: outputs.y, dy: outputGrads.y }, {}).dx };
  },
  flops: ({ x }) => 12 * elements(x.shape),
  reference: ({ x }, { y }) => {
    for (let i = 0; i < y.length; i++) y[i] = 1 / (1 + Math.exp(-x[i]));
  },
  samples: POINTWISE_SAMPLES.map(({ title, x }) => ({ title, params: {}, inputs: { x } })),
};
