/**
 * Batch normalisation with the activation behind it, in one pass over memory. Nothing of the result is saved for
 * the backward pass: it is recomputed from x and the statistics wherever a gradient reads it.
 *
 * Where the statistics are those of x (`batch: true`), dL/dx holds what flows through them, and `mean` and
 * `variance` get no gradient of their own; where they are what was learnt before, they are frozen.
 *
 * Reference: Ioffe, Szegedy, "Batch Normalization", 2015 (arXiv:1502.03167), algorithm 1.
 */
import type { Value } from '../ir/graph.js';
import { elements, f32 } from '../ir/types.js';
import {
  BATCH_NORM_ACTIVATIONS,
  BATCH_NORM_PARAMS,
  expectActivation,
  type BatchNormParams,
} from './batch-norm-activation.js';
import { batchNormGradInput } from './batch-norm-grad-input.js';
import { batchNormGradParams } from './batch-norm-grad-params.js';
import { batchNormSamples, operandsOf } from './batch-norm-samples.js';
import type { GradContext, Op } from './op.js';
import { expectForm, expectType, lastOf, rowsOf } from './shapes.js';
import { summed } from './sum-rows.js';

type Operand = 'x' | 'mean' | 'variance' | 'gamma' | 'beta';

/** y = act((x − mean) · γ/√(variance + eps) + β) by channel; x [..., C], all others [C]. */
export const batchNorm: Op<BatchNormParams, Operand, never, 'y', never> = {
  name: 'batch_norm',
  summary: 'y = act((x − mean) · γ/√(variance + eps) + β) by channel',
  inputs: ['x', 'mean', 'variance', 'gamma', 'beta'],
  outputs: ['y'],
  params: BATCH_NORM_PARAMS,
  infer: ({ x, mean, variance, gamma, beta }, { activation }, at) => {
    expectForm(at, 'x', x, 'f32[...,N,C]');
    const channels = f32(lastOf(x.shape));
    expectType(at, 'mean', mean, channels);
    expectType(at, 'variance', variance, channels);
    expectType(at, 'gamma', gamma, channels);
    expectType(at, 'beta', beta, channels);
    expectActivation(at, activation);
    return { y: x };
  },
  grad: (context) => {
    const dy = context.outputGrads.y;
    if (!dy) return {};
    const { needs } = context;
    const sums = gradParams(context, dy);
    const { dgamma, dbeta } = sums;
    return {
      ...(needs('gamma') && dgamma && { gamma: dgamma }),
      ...(needs('beta') && dbeta && { beta: dbeta }),
      ...(needs('x') && { x: gradInput(context, dy, sums) }),
    };
  },
  flops: ({ x }) => 4 * elements(x.shape),
  recompute: 'cheap',
  rowwise: () => ['x'],
  reference: ({ x, mean, variance, gamma, beta }, { y }, types, { eps, activation }) => {
    const cols = lastOf(types.x.shape);
    const { value } = BATCH_NORM_ACTIVATIONS[activation];
    for (let i = 0; i < y.length; i++) {
      const c = i % cols;
      y[i] = value(((x[i] - mean[c]) * gamma[c]) / Math.sqrt(variance[c] + eps) + beta[c]);
    }
  },
  inPlace: [['y', 'x']],
  scalars: { rows: 'int', cols: 'int', eps: 'float', activation: 'int' },
  encode: ({ x }, { eps, activation }) => ({
    rows: rowsOf(x.shape),
    cols: lastOf(x.shape),
    eps,
    activation: BATCH_NORM_ACTIVATIONS[activation].code,
  }),
  // γ/√(variance + eps)
  scratch: ({ x }) => 4 * lastOf(x.shape),
  samples: batchNormSamples.map(({ title, params, x }) => ({
    title,
    params,
    inputs: operandsOf(x),
  })),
};

type Context = GradContext<BatchNormParams, Operand, never, 'y', never>;

/** Both sums where dL/dx goes through the statistics, else those that are wanted. */
function gradParams({ emitter, inputs, params, needs }: Context, dy: Value): Sums {
  const { eps, batch, activation } = params;
  const both = batch && needs('x');
  const wanted = { gamma: both || needs('gamma'), beta: both || needs('beta') };
  if (!wanted.gamma && !wanted.beta) return {};
  // dβ alone needs nothing but dy where nothing is behind the norm, so that x is not kept for it.
  if (!wanted.gamma && activation === 'none') {
    return { dbeta: summed(emitter, dy, dy.type.shape.length - 1) };
  }
  return emitter.emit(batchNormGradParams, { ...inputs, dy }, { eps, activation, ...wanted });
}

type Sums = Readonly<Partial<Record<'dgamma' | 'dbeta', Value>>>;

/** Reads x only where the result depends on it: frozen statistics without an activation only scale dy. */
function gradInput(
  { emitter, inputs, params }: Context,
  dy: Value,
  { dgamma, dbeta }: Sums,
): Value {
  const { x, mean, variance, gamma, beta } = inputs;
  const isActive = params.activation !== 'none';
  const operands = {
    ...{ dy, variance, gamma },
    ...((params.batch || isActive) && { x, mean }),
    ...(isActive && { beta }),
    ...(params.batch && dgamma && dbeta && { dgamma, dbeta }),
  };
  return emitter.emit(batchNormGradInput, operands, params).dx;
}
