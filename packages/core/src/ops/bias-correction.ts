/**
 * Adam's bias corrections for moments that start anew while training goes on. The correction that
 * the host writes counts all steps of the run; moments that were set to zero later have seen fewer.
 */
import { f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectType } from './shapes.js';

export type BiasCorrectionParams = {
  readonly beta1: number;
  readonly beta2: number;
};

/**
 * known ← β · known + (1 − β) for β₁ and β₂; correction ← [1/known[0], 1/√known[1]]; both in place, so
 * that a step has no temporary that lives until the last update.
 *
 * From zero, known is 1 − βᵗ after t steps: the share of a moving average that gradients make up.
 * It is kept in this form since 1 − βᵗ of a float32 βᵗ would be off by 1e-4 at first.
 */
export const biasCorrection: Op<
  BiasCorrectionParams,
  'known' | 'correction',
  never,
  'knownOut' | 'correctionOut',
  never
> = {
  name: 'bias_correction',
  summary: 'known ← β · known + (1 − β); correction ← [1/known[0], 1/√known[1]]',
  inputs: ['known', 'correction'],
  outputs: ['knownOut', 'correctionOut'],
  params: { beta1: 'share', beta2: 'share' },
  infer: ({ known, correction }, _params, at) => {
    expectType(at, 'known', known, f32(2));
    expectType(at, 'correction', correction, f32(2));
    return { knownOut: known, correctionOut: correction };
  },
  flops: () => 7,
  recompute: 'costly',
  reference: ({ known }, { knownOut, correctionOut }, _types, { beta1, beta2 }) => {
    knownOut[0] = beta1 * known[0] + (1 - beta1);
    knownOut[1] = beta2 * known[1] + (1 - beta2);
    correctionOut[0] = 1 / knownOut[0];
    correctionOut[1] = 1 / Math.sqrt(knownOut[1]);
  },
  updates: [
    ['knownOut', 'known'],
    ['correctionOut', 'correction'],
  ],
  scalars: { beta1: 'float', beta2: 'float', gain1: 'float', gain2: 'float' },
  encode: (_types, { beta1, beta2 }) => ({ beta1, beta2, gain1: 1 - beta1, gain2: 1 - beta2 }),
  samples: [
    sample('first step', 0.9, 0.999, [0, 0]),
    sample('later', 0.8, 0.95, [0.36, 0.0975]),
    sample('no averages', 0, 0, [0.5, 0.75]),
  ],
};

function sample(title: string, beta1: number, beta2: number, values: readonly number[]) {
  const inputs = { known: { type: f32(2), values }, correction: { type: f32(2) } };
  return { title, params: { beta1, beta2 }, inputs };
}
