/** Gradient of layernorm with respect to its input. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm, expectType, lastOf, rowsOf, type NoParams } from './shapes.js';

/**
 * dx = rstd · (g − mean(g) − x̂ · mean(g · x̂)) + residual, with g = dy · γ and x̂ = (x − mean) ·
 * rstd per row. `residual` is the gradient that arrives past the layer norm, added here to save a
 * pass over memory.
 */
export const layernormGradInput: Op<
  NoParams,
  'x' | 'gamma' | 'mean' | 'rstd' | 'dy',
  'residual',
  'dx',
  never
> = {
  name: 'layernorm_grad_input',
  gradientOf: 'layernorm',
  summary: 'dx = rstd · (g − mean(g) − x̂ · mean(g · x̂)) + residual, g = dy · γ',
  inputs: ['x', 'gamma', 'mean', 'rstd', 'dy', 'residual?'],
  outputs: ['dx'],
  params: {},
  infer: ({ x, gamma, mean, rstd, dy, residual }, _params, at) => {
    expectForm(at, 'x', x, 'f32[...,D]');
    expectType(at, 'gamma', gamma, f32(lastOf(x.shape)));
    const statistics = f32(...x.shape.slice(0, -1));
    expectType(at, 'mean', mean, statistics);
    expectType(at, 'rstd', rstd, statistics);
    expectType(at, 'dy', dy, x);
    if (residual) expectType(at, 'residual', residual, x);
    return { dx: x };
  },
  flops: ({ x, residual }) => (residual ? 11 : 10) * elements(x.shape),
  recompute: 'cheap',
  reference: ({ x, gamma, mean, rstd, dy, residual }, { dx }, types) => {
    const rows = rowsOf(types.x.shape);
    const cols = lastOf(types.x.shape);
    for (let r = 0; r < rows; r++) {
      const normalised = (c: number) => (x[r * cols + c] - mean[r]) * rstd[r];
      let meanG = 0;
      let meanGx = 0;
      for (let c = 0; c < cols; c++) {
        const g = dy[r * cols + c] * gamma[c];
        meanG += g / cols;
        meanGx += (g * normalised(c)) / cols;
      }
      for (let c = 0; c < cols; c++) {
        const g = dy[r * cols + c] * gamma[c];
        const past = residual ? residual[r * cols + c] : 0;
        dx[r * cols + c] = rstd[r] * (g - meanG - normalised(c) * meanGx) + past;
      }
    }
  },
  residual: 'dx',
  inPlace: [
    ['dx', 'dy'],
    ['dx', 'residual'],
  ],
  scalars: { rows: 'int', cols: 'int' },
  encode: ({ x }) => ({ rows: rowsOf(x.shape), cols: lastOf(x.shape) }),
  samples: [
    {
      title: 'small',
      params: {},
      inputs: {
        x: { type: f32(3, 5) },
        gamma: { type: f32(5) },
        mean: { type: f32(3) },
        rstd: { type: f32(3), low: 0.5, high: 2 },
        dy: { type: f32(3, 5) },
      },
    },
    {
      title: 'with a residual',
      params: {},
      inputs: {
        x: { type: f32(2, 3, 67) },
        gamma: { type: f32(67) },
        mean: { type: f32(2, 3) },
        rstd: { type: f32(2, 3), low: 0.5, high: 2 },
        dy: { type: f32(2, 3, 67) },
        residual: { type: f32(2, 3, 67) },
      },
    },
    {
      title: 'one column',
      params: {},
      inputs: {
        x: { type: f32(4, 1) },
        gamma: { type: f32(1) },
        mean: { type: f32(4) },
        rstd: { type: f32(4), low: 0.5, high: 2 },
        dy: { type: f32(4, 1) },
      },
    },
  ],
};
