/**
 * AdamW, as in torch.optim.AdamW. The bias corrections depend on the step number, which a static
 * program does not know, so the host writes them like the learning rate.
 *
 * Reference: Loshchilov, Hutter, "Decoupled Weight Decay Regularization", 2019 (arXiv:1711.05101),
 * algorithm 2.
 */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type AdamwParams = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
};

/**
 * g = scale · grad; p ← (1 − lr · weightDecay) · p; m ← β₁ · m + (1 − β₁) · g; v ← β₂ · v + (1 −
 * β₂) · g²; p ← p − lr · correction[0] · m / (√v · correction[1] + eps), where at step t (from 1)
 * correction is [1/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ)].
 */
export const adamw: Op<
  AdamwParams,
  'param' | 'grad' | 'm' | 'v' | 'lr' | 'correction',
  'scale',
  'paramOut' | 'mOut' | 'vOut',
  never
> = {
  name: 'adamw',
  summary: 'p ← (1 − lr · weightDecay) · p − lr · correction[0] · m / (√v · correction[1] + eps)',
  inputs: ['param', 'grad', 'm', 'v', 'lr', 'correction', 'scale?'],
  outputs: ['paramOut', 'mOut', 'vOut'],
  params: { beta1: 'share', beta2: 'share', eps: 'size', weightDecay: 'size' },
  infer: ({ param, grad, m, v, lr, correction, scale }, _params, at) => {
    expectForm(at, 'param', param, 'f32[...]');
    expectType(at, 'grad', grad, param);
    expectType(at, 'm', m, param);
    expectType(at, 'v', v, param);
    expectType(at, 'lr', lr, f32());
    expectType(at, 'correction', correction, f32(2));
    if (scale) expectType(at, 'scale', scale, f32());
    return { paramOut: param, mOut: m, vOut: v };
  },
  flops: ({ param }) => 15 * elements(param.shape),
  recompute: 'costly',
  reference: (inputs, { paramOut, mOut, vOut }, _types, params) => {
    const { param, grad, m, v, lr, correction, scale } = inputs;
    const { beta1, beta2, eps, weightDecay } = params;
    const factor = scale ? scale[0] : 1;
    for (let i = 0; i < param.length; i++) {
      const g = factor * grad[i];
      mOut[i] = beta1 * m[i] + (1 - beta1) * g;
      vOut[i] = beta2 * v[i] + (1 - beta2) * g * g;
      const step = (correction[0] * mOut[i]) / (Math.sqrt(vOut[i]) * correction[1] + eps);
      paramOut[i] = (1 - lr[0] * weightDecay) * param[i] - lr[0] * step;
    }
  },
  gradient: 'grad',
  updates: [
    ['paramOut', 'param'],
    ['mOut', 'm'],
    ['vOut', 'v'],
  ],
  // 1 − β travels beside β: formed from a float32 β it would be off by 1e-5.
  scalars: {
    count: 'int',
    beta1: 'float',
    beta2: 'float',
    gain1: 'float',
    gain2: 'float',
    eps: 'float',
    weightDecay: 'float',
  },
  encode: ({ param }, { beta1, beta2, eps, weightDecay }) => ({
    count: elements(param.shape),
    beta1,
    beta2,
    gain1: 1 - beta1,
    gain2: 1 - beta2,
    eps,
    weightDecay,
  }),
  samples: [
    {
      // 1/(1 − 0.9), 1/√(1 − 0.999)
      title: 'first step',
      params: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.05 },
      inputs: {
        param: { type: f32(3, 5) },
        grad: { type: f32(3, 5) },
        m: { type: f32(3, 5), values: new Array<number>(15).fill(0) },
        v: { type: f32(3, 5), values: new Array<number>(15).fill(0) },
        lr: { type: f32(), values: [0.01] },
        correction: { type: f32(2), values: [10, 31.622776601683793] },
      },
    },
    {
      title: 'later, clipped',
      params: { beta1: 0.8, beta2: 0.95, eps: 1e-6, weightDecay: 0 },
      inputs: {
        param: { type: f32(67) },
        grad: { type: f32(67) },
        m: { type: f32(67) },
        v: { type: f32(67), low: 0.01, high: 1 },
        lr: { type: f32(), values: [0.1] },
        correction: { type: f32(2), low: 1, high: 2 },
        scale: { type: f32(), values: [0.25] },
      },
    },
    {
      title: 'scalar',
      params: { beta1: 0.9, beta2: 0.99, eps: 0.1, weightDecay: 0.5 },
      inputs: {
        param: { type: f32() },
        grad: { type: f32() },
        m: { type: f32() },
        v: { type: f32(), low: 0, high: 1 },
        lr: { type: f32(), values: [0.5] },
        correction: { type: f32(2), low: 1, high: 2 },
      },
    },
    {
      title: 'long',
      params: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.05 },
      inputs: {
        param: { type: f32(3, 1031) },
        grad: { type: f32(3, 1031) },
        m: { type: f32(3, 1031) },
        v: { type: f32(3, 1031), low: 0.01, high: 1 },
        lr: { type: f32(), values: [0.01] },
        correction: { type: f32(2), low: 1, high: 2 },
      },
    },
  ],
};
