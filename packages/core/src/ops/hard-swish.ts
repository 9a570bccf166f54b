/** x times a sigmoid of straight lines: the activation of MobileNetV3. */
import { elements } from '../ir/types.js';
import { hardSwishGrad } from './hard-swish-grad.js';
import type { Op } from './op.js';
import { POINTWISE, pointwiseResult, POINTWISE_SAMPLES } from './pointwise.js';
import type { NoParams } from './shapes.js';

/** y = x · min(max(x / 6 + 1/2, 0), 1). */
export const hardSwish: Op<NoParams, 'x', never, 'y', never> = {
  ...POINTWISE,
  name: 'hard_swish',
  summary: 'y = x · min(max(x / 6 + 1/2, 0), 1)',
  params: {},
  infer: (types, _params, at) => pointwiseResult(types, at),
  grad: ({ emitter, inputs, outputGrads, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    return { x: emitter.emit(hardSwishGrad, { x: inputs.x, dy: outputGrads.y }, {}).dx };
  },
  flops: ({ x }) => 5 * elements(x.shape),
  reference: ({ x }, { y }) => {
    for (let i = 0; i < y.length; i++) y[i] = x[i] * Math.min(Math.max(x[i] / 6 + 0.5, 0), 1);
  },
  samples: POINTWISE_SAMPLES.map(({ title, x }) => ({ title, params: {}, inputs: { x } })),
};
