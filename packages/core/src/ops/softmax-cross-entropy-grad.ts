/** Gradient of softmax_cross_entropy. */
import { elements, f32, i32 } from '../ir/types.js';
import { logSumExp } from './log-sum-exp.js';
import type { Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type CrossEntropyParams = {
  /** Share of the target that is spread evenly over all classes, in [0, 1). */
  readonly smoothing: number;
};

/**
 * dz[b,c] = dloss/B · (p[b,c] − t[b,c]), p = softmax(z), t = (1 − s) · [c = label] + s/C. A row
 * whose label is no class is NaN.
 */
export const softmaxCrossEntropyGrad: Op<
  CrossEntropyParams,
  'logits' | 'labels' | 'dloss',
  never,
  'dlogits',
  never
> = {
  name: 'softmax_cross_entropy_grad',
  gradientOf: 'softmax_cross_entropy',
  summary: 'dlogits = dloss/B · (softmax(logits) − target)',
  inputs: ['logits', 'labels', 'dloss'],
  outputs: ['dlogits'],
  params: { smoothing: 'share' },
  infer: ({ logits, labels, dloss }, _params, at) => {
    expectForm(at, 'logits', logits, 'f32[B,C]');
    expectType(at, 'labels', labels, i32(logits.shape[0]));
    expectType(at, 'dloss', dloss, f32());
    return { dlogits: logits };
  },
  flops: ({ logits }) => 12 * elements(logits.shape),
  recompute: 'cheap',
  reference: ({ logits, labels, dloss }, { dlogits }, types, { smoothing }) => {
    const [rows, cols] = types.logits.shape;
    for (let r = 0; r < rows; r++) {
      const z = logits.subarray(r * cols, (r + 1) * cols);
      const normaliser = logSumExp(z);
      const known = labels[r] >= 0 && labels[r] < cols;
      const scale = known ? dloss[0] / rows : NaN;
      for (let c = 0; c < cols; c++) {
        const target = (c === labels[r] ? 1 - smoothing : 0) + smoothing / cols;
        dlogits[r * cols + c] = scale * (Math.exp(z[c] - normaliser) - target);
      }
    }
  },
  inPlace: [['dlogits', 'logits']],
  scalars: { rows: 'int', cols: 'int', smoothing: 'float' },
  encode: ({ logits }, { smoothing }) => {
    const [rows, cols] = logits.shape;
    return { rows, cols, smoothing };
  },
  samples: [
    {
      title: 'small',
      params: { smoothing: 0 },
      inputs: {
        logits: { type: f32(3, 5), low: -3, high: 3 },
        labels: { type: i32(3), low: 0, high: 5 },
        dloss: { type: f32() },
      },
    },
    {
      title: 'smoothed, large logits',
      params: { smoothing: 0.1 },
      inputs: {
        logits: { type: f32(2, 67), low: -90, high: 90 },
        labels: { type: i32(2), values: [66, 0] },
        dloss: { type: f32(), values: [0.5] },
      },
    },
    {
      title: 'one class',
      params: { smoothing: 0 },
      inputs: {
        logits: { type: f32(1, 1) },
        labels: { type: i32(1), values: [0] },
        dloss: { type: f32() },
      },
    },
  ],
};
