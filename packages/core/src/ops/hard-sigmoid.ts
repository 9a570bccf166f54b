/** A sigmoid of straight lines, the gate of squeeze-excitation in mobile networks. */
import { elements } from '../ir/types.js';
import { hardSigmoidGrad } from './hard-sigmoid-grad.js';
import type { Op } from './op.js';
import { POINTWISE, pointwiseResult, POINTWISE_SAMPLES } from './pointwise.js';
import type { NoParams } from './shapes.js';

/** y = min(max(x / 6 + 1/2, 0), 1); its result alone tells the gradient. */
export const hardSigmoid: Op<NoParams, 'x', never, 'y', never> = {
  ...POINTWISE,
  name: 'hard_sigmoid',
  summary: 'y = min(max(x / 6 + 1/2, 0), 1)',
  params: {},
  infer: (types, _params, at) => pointwiseResult(types, at),
  grad: ({ emitter, outputs, outputGrads, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    return { x: emitter.emit(hardSigmoidGrad, { y: outputs.y, dy: outputGrads.y }, {}).dx };
  },
  flops: ({ x }) => 4 * elements(x.shape),
  reference: ({ x }, { y }) => {
    for (let i = 0; i < y.length; i++) y[i] = Math.min(Math.max(x[i] / 6 + 0.5, 0), 1);
  },
  samples: POINTWISE_SAMPLES.map(({ title, x }) => ({ title, params: {}, inputs: { x } })),
};
