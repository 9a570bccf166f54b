/** Gradients of layernorm with respect to its scale and shift, in one pass over x and dy. */
import { elements, f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { columnSumBytes, expectForm, expectType, lastOf, rowsOf } from './shapes.js';

export type LayernormGradParamsParams = {
  /** Which of the two gradients are wanted; at least one. */
  readonly gamma: boolean;
  readonly beta: boolean;
};

/** dγ[c] = Σᵣ dy[r,c] · (x[r,c] − mean[r]) · rstd[r]; dβ[c] = Σᵣ dy[r,c]. */
export const layernormGradParams: Op<
  LayernormGradParamsParams,
  'x' | 'mean' | 'rstd' | 'dy',
  never,
  never,
  'dgamma' | 'dbeta'
> = {
  name: 'layernorm_grad_params',
  gradientOf: 'layernorm',
  summary: 'dγ[c] = Σᵣ dy[r,c] · x̂[r,c]; dβ[c] = Σᵣ dy[r,c]',
  inputs: ['x', 'mean', 'rstd', 'dy'],
  outputs: ['dgamma?', 'dbeta?'],
  params: { gamma: 'truth', beta: 'truth' },
  infer: ({ x, mean, rstd, dy }, { gamma, beta }, at) => {
    expectForm(at, 'x', x, 'f32[...,D]');
    const statistics = f32(...x.shape.slice(0, -1));
    expectType(at, 'mean', mean, statistics);
    expectType(at, 'rstd', rstd, statistics);
    expectType(at, 'dy', dy, x);
    expectShape(gamma || beta, at, 'gamma, beta or both', 'neither');
    const type = f32(lastOf(x.shape));
    return { ...(gamma && { dgamma: type }), ...(beta && { dbeta: type }) };
  },
  flops: ({ x }, { gamma, beta }) => ((gamma ? 4 : 0) + (beta ? 1 : 0)) * elements(x.shape),
  recompute: 'costly',
  reference: ({ x, mean, rstd, dy }, { dgamma, dbeta }, types) => {
    const rows = rowsOf(types.x.shape);
    const cols = lastOf(types.x.shape);
    for (let c = 0; c < cols; c++) {
      let scale = 0;
      let shift = 0;
      for (let r = 0; r < rows; r++) {
        scale += dy[r * cols + c] * (x[r * cols + c] - mean[r]) * rstd[r];
        shift += dy[r * cols + c];
      }
      if (dgamma) dgamma[c] = scale;
      if (dbeta) dbeta[c] = shift;
    }
  },
  scalars: { rows: 'int', cols: 'int' },
  encode: ({ x }) => ({ rows: rowsOf(x.shape), cols: lastOf(x.shape) }),
  workspace: ({ x }) => 2 * columnSumBytes(lastOf(x.shape)),
  samples: [
    sample('both', { gamma: true, beta: true }, 3, 5),
    sample('gamma only', { gamma: true, beta: false }, 9, 19),
    sample('beta only', { gamma: false, beta: true }, 1, 33),
    sample('many rows', { gamma: true, beta: true }, 130, 67),
  ],
};

function sample(title: string, params: LayernormGradParamsParams, rows: number, cols: number) {
  return {
    title,
    params,
    inputs: {
      x: { type: f32(rows, cols) },
      mean: { type: f32(rows) },
      rstd: { type: f32(rows), low: 0.5, high: 2 },
      dy: { type: f32(rows, cols) },
    },
  };
}
