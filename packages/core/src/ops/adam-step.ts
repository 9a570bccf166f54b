/**
 * Adam's moments by themselves: the direction of a descent whose step another op takes.
 *
 * Reference: Kingma, Ba, "Adam: a method for stochastic optimization", 2015 (arXiv:1412.6980), algorithm 1.
 */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type AdamStepParams = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
};

/**
 * g = scale · grad; m ← β₁ · m + (1 − β₁) · g; v ← β₂ · v + (1 − β₂) · g²; step = correction[0] · m /
 * (√v · correction[1] + eps). `correction` is that of `adamw`: with p ← (1 − lr · weightDecay) · p − lr ·
 * step this is `adamw`.
 */
export const adamStep: Op<
  AdamStepParams,
  'grad' | 'm' | 'v' | 'correction',
  'scale',
  'mOut' | 'vOut' | 'step',
  never
> = {
  name: 'adam_step',
  summary: 'step = correction[0] · m / (√v · correction[1] + eps)',
  inputs: ['grad', 'm', 'v', 'correction', 'scale?'],
  outputs: ['mOut', 'vOut', 'step'],
  params: { beta1: 'share', beta2: 'share', eps: 'size' },
  infer: ({ grad, m, v, correction, scale }, _params, at) => {
    expectForm(at, 'grad', grad, 'f32[...]');
    expectType(at, 'm', m, grad);
    expectType(at, 'v', v, grad);
    expectType(at, 'correction', correction, f32(2));
    if (scale) expectType(at, 'scale', scale, f32());
    return { mOut: m, vOut: v, step: grad };
  },
  flops: ({ grad }) => 12 * elements(grad.shape),
  recompute: 'costly',
  reference: (inputs, { mOut, vOut, step }, _types, { beta1, beta2, eps }) => {
    const { grad, m, v, correction, scale } = inputs;
    const factor = scale ? scale[0] : 1;
    for (let i = 0; i < grad.length; i++) {
      const g = factor * grad[i];
      mOut[i] = beta1 * m[i] + (1 - beta1) * g;
      vOut[i] = beta2 * v[i] + (1 - beta2) * g * g;
      step[i] = (correction[0] * mOut[i]) / (Math.sqrt(vOut[i]) * correction[1] + eps);
    }
  },
  gradient: 'grad',
  updates: [
    ['mOut', 'm'],
    ['vOut', 'v'],
  ],
  inPlace: [['step', 'grad']],
  // 1 − β travels beside β, as for adamw.
  scalars: {
    count: 'int',
    beta1: 'float',
    beta2: 'float',
    gain1: 'float',
    gain2: 'float',
    eps: 'float',
  },
  encode: ({ grad }, { beta1, beta2, eps }) => ({
    count: elements(grad.shape),
    beta1,
    beta2,
    gain1: 1 - beta1,
    gain2: 1 - beta2,
    eps,
  }),
  samples: [
    {
      // 1/(1 − 0.9), 1/√(1 − 0.999)
      title: 'first step',
      params: { beta1: 0.9, beta2: 0.999, eps: 1e-8 },
      inputs: {
        grad: { type: f32(3, 5) },
        m: { type: f32(3, 5), values: new Array<number>(15).fill(0) },
        v: { type: f32(3, 5), values: new Array<number>(15).fill(0) },
        correction: { type: f32(2), values: [10, 31.622776601683793] },
      },
    },
    {
      title: 'later, clipped',
      params: { beta1: 0.8, beta2: 0.95, eps: 1e-6 },
      inputs: {
        grad: { type: f32(67) },
        m: { type: f32(67) },
        v: { type: f32(67), low: 0.01, high: 1 },
        correction: { type: f32(2), low: 1, high: 2 },
        scale: { type: f32(), values: [0.25] },
      },
    },
    {
      title: 'long',
      params: { beta1: 0.9, beta2: 0.999, eps: 1e-8 },
      inputs: {
        grad: { type: f32(3, 1031) },
        m: { type: f32(3, 1031) },
        v: { type: f32(3, 1031), low: 0.01, high: 1 },
        correction: { type: f32(2), low: 1, high: 2 },
      },
    },
  ],
};
