/** Gradient of batch normalisation by its input, through the batch's statistics or with frozen ones. */
import { elements, f32 } from '../ir/types.js';
import {
  BATCH_NORM_ACTIVATIONS,
  BATCH_NORM_PARAMS,
  expectActivation,
  type BatchNormParams,
} from './batch-norm-activation.js';
import { batchNormSamples, operandsOf } from './batch-norm-samples.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectType, lastOf, rowsOf } from './shapes.js';

/**
 * dx = α · (g − (dβ + x̂ · dγ) / N) with g = dy · act'(x̂ · γ + β), α = γ/√(variance + eps) and N rows; with frozen
 * statistics, `batch: false`, dx = α · g. There are x and mean where one of the two needs x, β where there is an
 * activation, and with `batch: true` dγ and dβ, both of them.
 */
export const batchNormGradInput: Op<
  BatchNormParams,
  'dy' | 'variance' | 'gamma',
  'x' | 'mean' | 'beta' | 'dgamma' | 'dbeta',
  'dx',
  never
> = {
  name: 'batch_norm_grad_input',
  gradientOf: 'batch_norm',
  summary: "dx = α · (g − (dβ + x̂ · dγ) / N), g = dy · act'(x̂ · γ + β); α · g if not of the batch",
  inputs: ['dy', 'variance', 'gamma', 'x?', 'mean?', 'beta?', 'dgamma?', 'dbeta?'],
  outputs: ['dx'],
  params: BATCH_NORM_PARAMS,
  infer: (types, { batch, activation }, at) => {
    const { dy, x, dgamma } = types;
    expectForm(at, 'dy', dy, 'f32[...,N,C]');
    expectActivation(at, activation);
    const isActive = activation !== 'none';
    const channels = f32(lastOf(dy.shape));
    expectType(at, 'variance', types.variance, channels);
    expectType(at, 'gamma', types.gamma, channels);
    if (x) expectType(at, 'x', x, dy);
    for (const key of ['mean', 'beta', 'dgamma', 'dbeta'] as const) {
      const type = types[key];
      if (type) expectType(at, key, type, channels);
    }
    const expect = (name: string, wanted: boolean, present: readonly unknown[]) => {
      const fits = present.every((type) => Boolean(type) === wanted);
      const got = `activation "${activation}", batch ${String(batch)}`;
      expectShape(fits, at, wanted ? name : `no ${name}`, got);
    };
    expect('x and mean', batch || isActive, [x, types.mean]);
    expect('beta', isActive, [types.beta]);
    expect('dgamma and dbeta', batch, [dgamma, types.dbeta]);
    return { dx: dy };
  },
  flops: ({ dy }, { batch }) => (batch ? 8 : 5) * elements(dy.shape),
  recompute: 'cheap',
  reference: (inputs, { dx }, types, { eps, activation }) => {
    const { dy, variance, gamma, x, mean, beta, dgamma, dbeta } = inputs;
    const [rows, cols] = [rowsOf(types.dy.shape), lastOf(types.dy.shape)];
    const { slope } = BATCH_NORM_ACTIVATIONS[activation];
    for (let i = 0; i < dx.length; i++) {
      const c = i % cols;
      const rstd = 1 / Math.sqrt(variance[c] + eps);
      const normalised = x && mean ? (x[i] - mean[c]) * rstd : 0;
      const g = dy[i] * (beta ? slope(normalised * gamma[c] + beta[c]) : 1);
      const through = dgamma && dbeta ? (dbeta[c] + normalised * dgamma[c]) / rows : 0;
      dx[i] = gamma[c] * rstd * (g - through);
    }
  },
  inPlace: [
    ['dx', 'dy'],
    ['dx', 'x'],
  ],
  scalars: { rows: 'int', cols: 'int', eps: 'float', activation: 'int' },
  encode: ({ dy }, { eps, activation }) => ({
    rows: rowsOf(dy.shape),
    cols: lastOf(dy.shape),
    eps,
    activation: BATCH_NORM_ACTIVATIONS[activation].code,
  }),
  // α, and how dx depends on x and on nothing.
  scratch: ({ dy }) => 3 * 4 * lastOf(dy.shape),
  samples: batchNormSamples.map(({ title, params, x: shape }) => {
    const { x, mean, beta, ...others } = operandsOf(shape);
    const isActive = params.activation !== 'none';
    const channels = { type: beta.type, low: -5, high: 5 };
    return {
      title,
      params,
      inputs: {
        dy: { type: f32(...shape) },
        ...others,
        ...((params.batch || isActive) && { x, mean }),
        ...(isActive && { beta }),
        ...(params.batch && { dgamma: channels, dbeta: channels }),
      },
    };
  }),
};
