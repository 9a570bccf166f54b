/** Momentum by itself: the running direction of a descent whose step another op takes. */
import { elements, f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type VelocityParams = {
  readonly momentum: number;
  readonly nesterov: boolean;
  /** 0 without `param`. */
  readonly weightDecay: number;
};

/**
 * g = scale · grad + weightDecay · param; v ← momentum · v + g; with Nesterov step = g + momentum · v,
 * else v is the step. `scale` is the clipping factor. With p ← p − lr · step this is `sgd`.
 */
export const velocity: Op<
  VelocityParams,
  'velocity' | 'grad',
  'param' | 'scale',
  'velocityOut',
  'step'
> = {
  name: 'velocity',
  summary: 'g = scale · grad + weightDecay · param; v ← momentum · v + g; step = g + momentum · v',
  inputs: ['velocity', 'grad', 'param?', 'scale?'],
  outputs: ['velocityOut', 'step?'],
  params: { momentum: 'share', nesterov: 'truth', weightDecay: 'size' },
  infer: (types, { nesterov, weightDecay }, at) => {
    const { velocity: v, grad, param, scale } = types;
    expectForm(at, 'velocity', v, 'f32[...]');
    expectType(at, 'grad', grad, v);
    if (param) expectType(at, 'param', param, v);
    if (scale) expectType(at, 'scale', scale, f32());
    const decay = `weightDecay ${String(weightDecay)}`;
    expectShape(Boolean(param) || weightDecay === 0, at, 'no weight decay without a param', decay);
    return { velocityOut: v, ...(nesterov && { step: v }) };
  },
  flops: ({ velocity: v, step }) => (step ? 6 : 4) * elements(v.shape),
  recompute: 'costly',
  reference: (inputs, { velocityOut, step }, _types, { momentum, weightDecay }) => {
    const { velocity: v, grad, param, scale } = inputs;
    const factor = scale ? scale[0] : 1;
    for (let i = 0; i < v.length; i++) {
      const g = factor * grad[i] + (param ? weightDecay * param[i] : 0);
      velocityOut[i] = momentum * v[i] + g;
      if (step) step[i] = g + momentum * velocityOut[i];
    }
  },
  gradient: 'grad',
  updates: [['velocityOut', 'velocity']],
  inPlace: [['step', 'grad']],
  scalars: { count: 'int', momentum: 'float', weightDecay: 'float' },
  encode: ({ velocity: v }, { momentum, weightDecay }) => ({
    count: elements(v.shape),
    momentum,
    weightDecay,
  }),
  samples: [
    {
      title: 'plain',
      params: { momentum: 0.9, nesterov: false, weightDecay: 0 },
      inputs: { velocity: { type: f32(3, 5) }, grad: { type: f32(3, 5) } },
    },
    {
      title: 'nesterov, decay, clipped',
      params: { momentum: 0.9, nesterov: true, weightDecay: 0.05 },
      inputs: {
        velocity: { type: f32(67) },
        grad: { type: f32(67) },
        param: { type: f32(67) },
        scale: { type: f32(), values: [0.25] },
      },
    },
    {
      title: 'long',
      params: { momentum: 0.5, nesterov: true, weightDecay: 0 },
      inputs: { velocity: { type: f32(3, 1031) }, grad: { type: f32(3, 1031) } },
    },
  ],
};
