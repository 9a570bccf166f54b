/** Gradients of batch normalisation by its scale and shift, in one pass over x and dy. */
import { elements, f32 } from '../ir/types.js';
import {
  BATCH_NORM_ACTIVATIONS,
  expectActivation,
  type BatchNormParams,
} from './batch-norm-activation.js';
import { batchNormSamples, operandsOf } from './batch-norm-samples.js';
import { expectShape, type Op } from './op.js';
import { columnSumBytes, expectForm, expectType, lastOf, rowsOf } from './shapes.js';

export type BatchNormGradParamsParams = Omit<BatchNormParams, 'batch'> & {
  /** Which of the two gradients are wanted; at least one. */
  readonly gamma: boolean;
  readonly beta: boolean;
};

/**
 * dγ[c] = Σᵣ g[r,c] · x̂[r,c]; dβ[c] = Σᵣ g[r,c], with g = dy · act'(x̂ · γ + β) and
 * x̂ = (x − mean)/√(variance + eps).
 */
export const batchNormGradParams: Op<
  BatchNormGradParamsParams,
  'x' | 'mean' | 'variance' | 'gamma' | 'beta' | 'dy',
  never,
  never,
  'dgamma' | 'dbeta'
> = {
  name: 'batch_norm_grad_params',
  gradientOf: 'batch_norm',
  summary: "dγ[c] = Σᵣ g[r,c] · x̂[r,c]; dβ[c] = Σᵣ g[r,c], g = dy · act'(x̂ · γ + β)",
  inputs: ['x', 'mean', 'variance', 'gamma', 'beta', 'dy'],
  outputs: ['dgamma?', 'dbeta?'],
  params: { eps: 'size', activation: 'text', gamma: 'truth', beta: 'truth' },
  infer: (types, { activation, gamma, beta }, at) => {
    const { x } = types;
    expectForm(at, 'x', x, 'f32[...,N,C]');
    const channels = f32(lastOf(x.shape));
    expectType(at, 'mean', types.mean, channels);
    expectType(at, 'variance', types.variance, channels);
    expectType(at, 'gamma', types.gamma, channels);
    expectType(at, 'beta', types.beta, channels);
    expectType(at, 'dy', types.dy, x);
    expectActivation(at, activation);
    expectShape(gamma || beta, at, 'gamma, beta or both', 'neither');
    return { ...(gamma && { dgamma: channels }), ...(beta && { dbeta: channels }) };
  },
  flops: ({ x }) => 8 * elements(x.shape),
  recompute: 'costly',
  reference: (inputs, { dgamma, dbeta }, types, { eps, activation }) => {
    const { x, mean, variance, gamma, beta, dy } = inputs;
    const cols = lastOf(types.x.shape);
    const { slope } = BATCH_NORM_ACTIVATIONS[activation];
    dgamma?.fill(0);
    dbeta?.fill(0);
    for (let i = 0; i < x.length; i++) {
      const c = i % cols;
      const normalised = (x[i] - mean[c]) / Math.sqrt(variance[c] + eps);
      const g = dy[i] * slope(normalised * gamma[c] + beta[c]);
      if (dgamma) dgamma[c] += g * normalised;
      if (dbeta) dbeta[c] += g;
    }
  },
  scalars: { rows: 'int', cols: 'int', eps: 'float', activation: 'int' },
  encode: ({ x }, { eps, activation }) => ({
    rows: rowsOf(x.shape),
    cols: lastOf(x.shape),
    eps,
    activation: BATCH_NORM_ACTIVATIONS[activation].code,
  }),
  workspace: ({ x }) => 2 * columnSumBytes(lastOf(x.shape)),
  samples: batchNormSamples.map(({ title, params: { eps, activation }, x }, index) => ({
    title,
    params: { eps, activation, gamma: index % 3 !== 1, beta: index % 3 !== 2 },
    inputs: { ...operandsOf(x), dy: { type: f32(...x) } },
  })),
};
