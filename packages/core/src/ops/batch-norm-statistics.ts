/**
 * Mean and variance of every channel over all its values: what batch normalisation subtracts and divides by.
 *
 * It has no gradient of its own: that of `batch_norm` with `batch: true` goes through both (batch-norm.ts).
 */
import { ShapeError } from '../errors.js';
import { elements, f32, typeText } from '../ir/types.js';
import type { Op } from './op.js';
import { columnSumBytes, expectForm, lastOf, rowsOf, type NoParams } from './shapes.js';

/** mean[c] = Σᵣ x[r,c] / N; variance[c] = Σᵣ (x[r,c] − mean[c])² / N; x [..., C] has N rows. */
export const batchNormStatistics: Op<NoParams, 'x', never, 'mean' | 'variance', never> = {
  name: 'batch_norm_statistics',
  summary: 'mean[c] = Σᵣ x[r,c] / N; variance[c] = Σᵣ (x[r,c] − mean[c])² / N',
  inputs: ['x'],
  outputs: ['mean', 'variance'],
  params: {},
  infer: ({ x }, _params, at) => {
    expectForm(at, 'x', x, 'f32[...,N,C]');
    if (rowsOf(x.shape) < 2) {
      throw new ShapeError({
        where: at,
        expected: 'two or more values of each channel, for their variance',
        got: `one in x of type ${typeText(x)}`,
        todo: 'Train on larger batches or images, or with frozen statistics',
      });
    }
    const channels = f32(lastOf(x.shape));
    return { mean: channels, variance: channels };
  },
  flops: ({ x }) => 4 * elements(x.shape),
  recompute: 'never',
  keepExact: ['mean', 'variance'],
  reference: ({ x }, { mean, variance }, types) => {
    const rows = rowsOf(types.x.shape);
    const cols = lastOf(types.x.shape);
    for (let c = 0; c < cols; c++) {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += x[r * cols + c];
      mean[c] = sum / rows;
      let squares = 0;
      for (let r = 0; r < rows; r++) squares += (x[r * cols + c] - mean[c]) ** 2;
      variance[c] = squares / rows;
    }
  },
  scalars: { rows: 'int', cols: 'int' },
  encode: ({ x }) => ({ rows: rowsOf(x.shape), cols: lastOf(x.shape) }),
  // Of every chunk a value that deviations are taken from, their mean and the sum of their squares.
  workspace: ({ x }) => 3 * columnSumBytes(lastOf(x.shape)),
  samples: [
    { title: 'small', params: {}, inputs: { x: { type: f32(2, 3, 3, 5) } } },
    { title: 'two rows', params: {}, inputs: { x: { type: f32(2, 33), low: -2, high: 3 } } },
    {
      // The spread is 1e-3 of the mean; exact values that float32 can hold.
      title: 'far from zero',
      params: {},
      inputs: { x: { type: f32(6, 2), values: [0, 1, 2, 3, 5, 8].flatMap((x) => [4096 + x, -x]) } },
    },
    { title: 'many rows', params: {}, inputs: { x: { type: f32(3, 517, 67), low: 1, high: 2 } } },
    { title: 'many channels', params: {}, inputs: { x: { type: f32(20, 300) } } },
  ],
};
