/** Batch norms on which every executor is checked, forward and backward. */
import { f32 } from '../ir/types.js';
import type { BatchNormActivation, BatchNormParams } from './batch-norm-activation.js';
import { lastOf } from './shapes.js';

interface BatchNormSample {
  readonly title: string;
  readonly params: BatchNormParams;
  /** [..., C] */
  readonly x: readonly number[];
}

/** Of batch statistics and frozen ones. */
export const batchNormSamples: readonly BatchNormSample[] = [
  sample('small', 'none', true, [2, 3, 3, 5]),
  sample('frozen', 'none', false, [4, 33], 1e-3),
  sample('ReLU', 'relu', true, [2, 5, 7, 24]),
  sample('frozen, ReLU', 'relu', false, [3, 4, 19]),
  sample('ReLU6', 'relu6', true, [37, 67]),
  sample('frozen, ReLU6', 'relu6', false, [2, 2, 2, 300]),
  sample('hard swish', 'hard-swish', true, [3, 67, 16]),
  sample('frozen, hard swish', 'hard-swish', false, [5, 81]),
  sample('SiLU', 'silu', true, [2, 9, 11, 40]),
  sample('frozen, SiLU', 'silu', false, [2, 5, 5, 3]),
  sample('two rows, large eps', 'none', true, [2, 17], 0.5),
  sample('many rows', 'relu', true, [1031, 5]),
];

function sample(
  title: string,
  activation: BatchNormActivation,
  batch: boolean,
  x: readonly number[],
  eps = 1e-5,
): BatchNormSample {
  return { title, params: { eps, batch, activation }, x };
}

/** The operands of a sample: some normalised values lie beyond every kink of the activations. */
export function operandsOf(shape: readonly number[]) {
  const channels = f32(lastOf(shape));
  return {
    x: { type: f32(...shape), low: -2, high: 3 },
    mean: { type: channels, low: 0, high: 1 },
    variance: { type: channels, low: 0.5, high: 2 },
    gamma: { type: channels, low: -4, high: 6 },
    beta: { type: channels },
  };
}
