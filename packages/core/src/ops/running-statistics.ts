/**
 * The running mean and variance of batch normalisation, which evaluation reads: moved by each forward pass of training
 * towards the batch's statistics, its variance corrected as an estimate from N values, as in PyTorch.
 */
import { elements, f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectInteger, expectType } from './shapes.js';

export type RunningStatisticsParams = {
  /** The share of the new value, in [0, 1]. */
  readonly momentum: number;
  /** N, from how many values of each channel the statistics are; at least 2. */
  readonly count: number;
};

/** runningMean ← (1 − m) · runningMean + m · mean; runningVariance likewise with N/(N − 1) · variance; all [C]. */
export const runningStatistics: Op<
  RunningStatisticsParams,
  'runningMean' | 'runningVariance' | 'mean' | 'variance',
  never,
  'runningMeanOut' | 'runningVarianceOut',
  never
> = {
  name: 'running_statistics',
  summary: 'μ ← (1 − momentum) · μ + momentum · mean; σ² likewise, of count/(count − 1) · variance',
  inputs: ['runningMean', 'runningVariance', 'mean', 'variance'],
  outputs: ['runningMeanOut', 'runningVarianceOut'],
  params: { momentum: 'size', count: 'whole' },
  infer: ({ runningMean, runningVariance, mean, variance }, { momentum, count }, at) => {
    expectForm(at, 'runningMean', runningMean, 'f32[C]');
    expectType(at, 'runningVariance', runningVariance, runningMean);
    expectType(at, 'mean', mean, runningMean);
    expectType(at, 'variance', variance, runningMean);
    expectShape(
      momentum >= 0 && momentum <= 1,
      at,
      'momentum in [0, 1]',
      `momentum ${String(momentum)}`,
    );
    expectInteger(at, 'count', count, 2);
    return { runningMeanOut: runningMean, runningVarianceOut: runningMean };
  },
  flops: ({ mean }) => 7 * elements(mean.shape),
  recompute: 'costly',
  reference: (inputs, outputs, _types, { momentum, count }) => {
    const { runningMean, runningVariance, mean, variance } = inputs;
    const { runningMeanOut, runningVarianceOut } = outputs;
    const moved = (old: number, value: number) => (1 - momentum) * old + momentum * value;
    for (let c = 0; c < mean.length; c++) {
      const unbiased = (count / (count - 1)) * variance[c];
      runningMeanOut[c] = moved(runningMean[c], mean[c]);
      runningVarianceOut[c] = moved(runningVariance[c], unbiased);
    }
  },
  updates: [
    ['runningMeanOut', 'runningMean'],
    ['runningVarianceOut', 'runningVariance'],
  ],
  scalars: { channels: 'int', kept: 'float', ofMean: 'float', ofVariance: 'float' },
  encode: ({ mean }, { momentum, count }) => ({
    channels: elements(mean.shape),
    kept: 1 - momentum,
    ofMean: momentum,
    ofVariance: (momentum * count) / (count - 1),
  }),
  samples: [
    sample('plain', 0.1, 50, 67),
    sample('two values', 0.01, 2, 3),
    sample('new', 1, 9, 16),
  ],
};

function sample(title: string, momentum: number, count: number, width: number) {
  const channels = { type: f32(width) };
  const variances = { type: f32(width), low: 0, high: 2 };
  return {
    title,
    params: { momentum, count },
    inputs: {
      runningMean: channels,
      runningVariance: variances,
      mean: channels,
      variance: variances,
    },
  };
}
