/**
 * Batch normalisation as a layer. Names follow torch: parameters `<scope>.weight` and `<scope>.bias`, buffers
 * `<scope>.running_mean` and `<scope>.running_var`.
 */
import type { Mode, Value } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import { batchNorm as batchNormOp } from '../ops/batch-norm.js';
import type { BatchNormActivation } from '../ops/batch-norm-activation.js';
import { batchNormStatistics } from '../ops/batch-norm-statistics.js';
import type { GraphBuilder } from '../ops/builder.js';
import { runningStatistics } from '../ops/running-statistics.js';
import { lastOf, rowsOf } from '../ops/shapes.js';

export interface BatchNormOptions {
  readonly eps: number;
  /** The share of the batch's statistics in the running ones after a forward pass. */
  readonly momentum: number;
  /** Of the result. */
  readonly activation: BatchNormActivation;
  /**
   * What training normalises with: `batch`, the statistics of each forward pass, towards which it moves the running
   * ones; or `frozen`, the running ones, which stay as they are.
   */
  readonly statistics: 'batch' | 'frozen';
  readonly mode: Mode;
}

/**
 * y = act((x − mean)/√(var + eps) · weight + bias) by channel, x [..., C]. Evaluation reads the running statistics and
 * changes nothing.
 */
export function batchNorm(
  builder: GraphBuilder,
  name: string,
  x: Value,
  options: BatchNormOptions,
): Value {
  const { eps, momentum, activation, statistics, mode } = options;
  const channels = f32(lastOf(x.type.shape));
  const { gamma, beta, runningMean, runningVariance } = builder.scope(name, () => ({
    gamma: builder.parameter('weight', channels, { initial: { kind: 'ones' }, decay: false }),
    beta: builder.parameter('bias', channels, { initial: { kind: 'zeros' }, decay: false }),
    runningMean: builder.buffer('running_mean', channels, { kind: 'zeros' }),
    runningVariance: builder.buffer('running_var', channels, { kind: 'ones' }),
  }));
  const batch = mode === 'train' && statistics === 'batch';
  if (!batch) {
    const operands = { x, mean: runningMean, variance: runningVariance, gamma, beta };
    return builder.emit(batchNormOp, operands, { eps, batch, activation }, name).y;
  }
  const { mean, variance } = builder.emit(batchNormStatistics, { x }, {}, `${name}.statistics`);
  const running = { runningMean, runningVariance, mean, variance };
  const count = rowsOf(x.type.shape);
  builder.emit(runningStatistics, running, { momentum, count }, `${name}.running`);
  const operands = { x, mean, variance, gamma, beta };
  return builder.emit(batchNormOp, operands, { eps, batch, activation }, name).y;
}
