/**
 * Layer normalisation over the last axis. The mean and the reciprocal standard deviation of every
 * row are outputs because the gradient reads them.
 *
 * Reference: Ba, Kiros, Hinton, "Layer Normalization", 2016 (arXiv:1607.06450), equation 4.
 */
import { elements, f32 } from '../ir/types.js';
import { layernormGradInput } from './layernorm-grad-input.js';
import { layernormGradParams } from './layernorm-grad-params.js';
import type { Op } from './op.js';
import { expectForm, expectType, lastOf, refuseGradients, rowsOf } from './shapes.js';
import { summed } from './sum-rows.js';

export type LayernormParams = {
  /** Added to the variance. */
  readonly eps: number;
};

/**
 * y = (x − mean) · rstd · γ + β, with rstd = 1/√(variance + eps); x [..., D], mean and rstd [...].
 */
export const layernorm: Op<
  LayernormParams,
  'x' | 'gamma' | 'beta',
  never,
  'y' | 'mean' | 'rstd',
  never
> = {
  name: 'layernorm',
  summary: 'y = (x − mean) · rstd · γ + β per row, rstd = 1/√(variance + eps)',
  inputs: ['x', 'gamma', 'beta'],
  outputs: ['y', 'mean', 'rstd'],
  params: { eps: 'size' },
  infer: ({ x, gamma, beta }, _params, at) => {
    expectForm(at, 'x', x, 'f32[...,D]');
    expectType(at, 'gamma', gamma, f32(lastOf(x.shape)));
    expectType(at, 'beta', beta, f32(lastOf(x.shape)));
    const statistics = f32(...x.shape.slice(0, -1));
    return { y: x, mean: statistics, rstd: statistics };
  },
  grad: ({ emitter, inputs, outputs, outputGrads, needs }) => {
    refuseGradients('layernorm', outputGrads, ['mean', 'rstd']);
    const dy = outputGrads.y;
    if (!dy) return {};
    const { x, gamma } = inputs;
    const { mean, rstd } = outputs;
    const gradInput = () => emitter.emit(layernormGradInput, { x, gamma, mean, rstd, dy }, {}).dx;
    const gradParams = () => {
      // dβ alone needs nothing but dy, so that x is not kept for it.
      if (!needs('gamma')) {
        return { beta: summed(emitter, dy, x.type.shape.length - 1) };
      }
      const params = { gamma: true, beta: needs('beta') };
      const grads = emitter.emit(layernormGradParams, { x, mean, rstd, dy }, params);
      return {
        ...(grads.dgamma && { gamma: grads.dgamma }),
        ...(grads.dbeta && { beta: grads.dbeta }),
      };
    };
    return {
      ...(needs('x') && { x: gradInput() }),
      ...((needs('gamma') || needs('beta')) && gradParams()),
    };
  },
  flops: ({ x }) => 8 * elements(x.shape),
  recompute: 'cheap',
  rowwise: () => ['x'],
  keepExact: ['mean', 'rstd'],
  reference: ({ x, gamma, beta }, { y, mean, rstd }, types, { eps }) => {
    const rows = rowsOf(types.x.shape);
    const cols = lastOf(types.x.shape);
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let c = 0; c < cols; c++) sum += x[r * cols + c];
      const average = sum / cols;
      let squares = 0;
      for (let c = 0; c < cols; c++) squares += (x[r * cols + c] - average) ** 2;
      mean[r] = average;
      rstd[r] = 1 / Math.sqrt(squares / cols + eps);
      for (let c = 0; c < cols; c++) {
        y[r * cols + c] = (x[r * cols + c] - average) * rstd[r] * gamma[c] + beta[c];
      }
    }
  },
  inPlace: [['y', 'x']],
  scalars: { rows: 'int', cols: 'int', eps: 'float' },
  encode: ({ x }, { eps }) => ({ rows: rowsOf(x.shape), cols: lastOf(x.shape), eps }),
  samples: [
    sample('small', 1e-6, [3, 5]),
    sample('tokens', 1e-12, [2, 3, 67]),
    sample('large eps', 0.5, [1, 16]),
    sample('one row', 1e-5, [33]),
    // The variance of one column is zero: y is β whatever x is.
    sample('one column', 1e-2, [4, 1]),
  ],
};

function sample(title: string, eps: number, shape: readonly number[]) {
  const width = f32(lastOf(shape));
  return {
    title,
    params: { eps },
    inputs: {
      x: { type: f32(...shape), low: -2, high: 3 },
      gamma: { type: width },
      beta: { type: width },
    },
  };
}
