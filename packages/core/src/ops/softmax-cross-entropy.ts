/**
 * Classification loss: mean cross-entropy of softmax(logits) against labels, with label smoothing
 * as in torch.nn.functional.cross_entropy. A label that is no class makes the loss NaN.
 */
import { elements, f32, i32 } from '../ir/types.js';
import { logSumExp } from './log-sum-exp.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectType } from './shapes.js';
import { softmaxCrossEntropyGrad, type CrossEntropyParams } from './softmax-cross-entropy-grad.js';

/** loss = 1/B Σ_b (log Σ_c exp z[b,c] − (1 − s) · z[b,label] − s/C Σ_c z[b,c]); logits z [B, C]. */
export const softmaxCrossEntropy: Op<
  CrossEntropyParams,
  'logits' | 'labels',
  never,
  'loss',
  never
> = {
  name: 'softmax_cross_entropy',
  summary: 'loss = mean over rows of −Σ_c target[c] · log softmax(logits)[c]',
  inputs: ['logits', 'labels'],
  outputs: ['loss'],
  params: { smoothing: 'share' },
  infer: ({ logits, labels }, { smoothing }, at) => {
    expectForm(at, 'logits', logits, 'f32[B,C]');
    expectType(at, 'labels', labels, i32(logits.shape[0]));
    const got = `smoothing ${String(smoothing)}`;
    expectShape(smoothing >= 0 && smoothing < 1, at, 'smoothing in [0, 1)', got);
    return { loss: f32() };
  },
  grad: ({ emitter, inputs, outputGrads, params, needs }) => {
    const dloss = outputGrads.loss;
    if (!dloss || !needs('logits')) return {};
    const { logits, labels } = inputs;
    const operands = { logits, labels, dloss };
    return { logits: emitter.emit(softmaxCrossEntropyGrad, operands, params).dlogits };
  },
  flops: ({ logits }) => 10 * elements(logits.shape),
  recompute: 'cheap',
  reference: ({ logits, labels }, { loss }, types, { smoothing }) => {
    const [rows, cols] = types.logits.shape;
    let total = 0;
    for (let r = 0; r < rows; r++) {
      const z = logits.subarray(r * cols, (r + 1) * cols);
      const known = labels[r] >= 0 && labels[r] < cols;
      let target = known ? (1 - smoothing) * z[labels[r]] : NaN;
      // Without smoothing the other logits have no say, even when one is −∞.
      if (smoothing > 0) for (const value of z) target += (smoothing / cols) * value;
      total += logSumExp(z) - target;
    }
    loss[0] = total / rows;
  },
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
      },
    },
    {
      title: 'smoothed',
      params: { smoothing: 0.1 },
      inputs: {
        logits: { type: f32(4, 67), low: -3, high: 3 },
        labels: { type: i32(4), values: [66, 0, 33, 7] },
      },
    },
    {
      title: 'large logits',
      params: { smoothing: 0 },
      inputs: {
        logits: { type: f32(2, 9), low: -90, high: 90 },
        labels: { type: i32(2), low: 0, high: 9 },
      },
    },
    {
      title: 'one class',
      params: { smoothing: 0 },
      inputs: { logits: { type: f32(1, 1) }, labels: { type: i32(1), values: [0] } },
    },
  ],
};
