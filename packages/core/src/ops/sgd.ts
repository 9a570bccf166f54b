/** Stochastic gradient descent with momentum, Nesterov and weight decay, as in torch.optim.SGD. */
import { elements, f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type SgdParams = {
  /** Above 0 exactly when there is a velocity. */
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly weightDecay: number;
};

/**
 * g = scale · grad + weightDecay · p; v ← momentum · v + g; p ← p − lr · v, with Nesterov
 * p − lr · (g + momentum · v), and p − lr · g without a velocity. `scale` is the clipping factor.
 */
export const sgd: Op<
  SgdParams,
  'param' | 'grad' | 'lr',
  'velocity' | 'scale',
  'paramOut',
  'velocityOut'
> = {
  name: 'sgd',
  summary: 'g = scale · grad + weightDecay · p; v ← momentum · v + g; p ← p − lr · v',
  inputs: ['param', 'grad', 'lr', 'velocity?', 'scale?'],
  outputs: ['paramOut', 'velocityOut?'],
  params: { momentum: 'share', nesterov: 'truth', weightDecay: 'size' },
  infer: ({ param, grad, lr, velocity, scale }, { momentum, nesterov }, at) => {
    expectForm(at, 'param', param, 'f32[...]');
    expectType(at, 'grad', grad, param);
    expectType(at, 'lr', lr, f32());
    if (velocity) expectType(at, 'velocity', velocity, param);
    if (scale) expectType(at, 'scale', scale, f32());
    expectShape(
      velocity ? momentum > 0 : momentum === 0 && !nesterov,
      at,
      velocity ? 'momentum above 0 with a velocity' : 'no momentum without a velocity',
      `momentum ${String(momentum)}, nesterov ${String(nesterov)}`,
    );
    return { paramOut: param, ...(velocity && { velocityOut: velocity }) };
  },
  flops: ({ param, velocity }) => (velocity ? 7 : 5) * elements(param.shape),
  recompute: 'costly',
  reference: (inputs, { paramOut, velocityOut }, _types, params) => {
    const { param, grad, lr, velocity, scale } = inputs;
    const { momentum, nesterov, weightDecay } = params;
    const factor = scale ? scale[0] : 1;
    for (let i = 0; i < param.length; i++) {
      const g = factor * grad[i] + weightDecay * param[i];
      let step = g;
      if (velocity && velocityOut) {
        velocityOut[i] = momentum * velocity[i] + g;
        step = nesterov ? g + momentum * velocityOut[i] : velocityOut[i];
      }
      paramOut[i] = param[i] - lr[0] * step;
    }
  },
  gradient: 'grad',
  updates: [
    ['paramOut', 'param'],
    ['velocityOut', 'velocity'],
  ],
  scalars: { count: 'int', momentum: 'float', nesterov: 'int', weightDecay: 'float' },
  encode: ({ param }, { momentum, nesterov, weightDecay }) => ({
    count: elements(param.shape),
    momentum,
    nesterov: Number(nesterov),
    weightDecay,
  }),
  samples: [
    {
      title: 'plain',
      params: { momentum: 0, nesterov: false, weightDecay: 0 },
      inputs: {
        param: { type: f32(3, 5) },
        grad: { type: f32(3, 5) },
        lr: { type: f32(), values: [0.1] },
      },
    },
    {
      title: 'momentum, decay',
      params: { momentum: 0.9, nesterov: false, weightDecay: 0.05 },
      inputs: {
        param: { type: f32(67) },
        grad: { type: f32(67) },
        lr: { type: f32(), values: [0.1] },
        velocity: { type: f32(67) },
      },
    },
    {
      title: 'nesterov, clipped',
      params: { momentum: 0.9, nesterov: true, weightDecay: 0.05 },
      inputs: {
        param: { type: f32(1, 33) },
        grad: { type: f32(1, 33) },
        lr: { type: f32(), values: [0.01] },
        velocity: { type: f32(1, 33) },
        scale: { type: f32(), values: [0.25] },
      },
    },
    {
      title: 'clipped scalar',
      params: { momentum: 0, nesterov: false, weightDecay: 0.1 },
      inputs: {
        param: { type: f32() },
        grad: { type: f32() },
        lr: { type: f32(), values: [0.5] },
        scale: { type: f32(), values: [0.5] },
      },
    },
    {
      title: 'long',
      params: { momentum: 0.9, nesterov: true, weightDecay: 0.01 },
      inputs: {
        param: { type: f32(3, 1031) },
        grad: { type: f32(3, 1031) },
        lr: { type: f32(), values: [0.1] },
        velocity: { type: f32(3, 1031) },
      },
    },
  ],
};
