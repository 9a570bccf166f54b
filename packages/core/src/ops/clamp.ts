/**
 * Values held within bounds: ReLU is low 0, ReLU6 low 0 and high 6.
 *
 * The derivative at a bound is 0, as of PyTorch's relu, relu6 and hardtanh (its clamp has 1 there). So the result
 * alone tells the gradient, whose operand is y: the next layer keeps y anyway, and x need not be kept.
 */
import { elements } from '../ir/types.js';
import {
  CLAMP_PARAMS,
  CLAMP_SCALARS,
  encodeClamp,
  expectBounds,
  type ClampParams,
} from './clamp-bounds.js';
import { clampGrad } from './clamp-grad.js';
import type { Op } from './op.js';
import { POINTWISE, pointwiseResult, POINTWISE_SAMPLES } from './pointwise.js';

const BOUNDS: readonly (readonly [name: string, params: ClampParams])[] = [
  ['ReLU', { low: 0 }],
  ['ReLU6', { low: 0, high: 6 }],
  ['high alone', { high: -1.75 }],
  ['linear range', { low: -2.25, high: 3.5 }],
];

/** y = min(max(x, low), high). */
export const clamp: Op<ClampParams, 'x', never, 'y', never> = {
  ...POINTWISE,
  name: 'clamp',
  summary: 'y = min(max(x, low), high)',
  params: CLAMP_PARAMS,
  infer: (types, params, at) => {
    expectBounds(params, at);
    return pointwiseResult(types, at);
  },
  grad: ({ emitter, params, outputs, outputGrads, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    return { x: emitter.emit(clampGrad, { y: outputs.y, dy: outputGrads.y }, params).dx };
  },
  flops: ({ x }) => 2 * elements(x.shape),
  reference: ({ x }, { y }, _types, { low = -Infinity, high = Infinity }) => {
    for (let i = 0; i < y.length; i++) y[i] = Math.min(Math.max(x[i], low), high);
  },
  scalars: { ...POINTWISE.scalars, ...CLAMP_SCALARS },
  encode: (types, params) => ({ ...POINTWISE.encode(types), ...encodeClamp(params) }),
  samples: BOUNDS.flatMap(([name, params]) =>
    POINTWISE_SAMPLES.map(({ title, x }) => ({
      title: `${title}, ${name}`,
      params,
      inputs: { x },
    })),
  ),
};
