/** Batch normalisation in a model's configuration, and as the model is built. */
import type { Mode } from '../ir/graph.js';
import type { NormOptions } from '../nn/conv-unit.js';
import { number, objectOf, type Reader } from '../schema/index.js';
import { statisticsOf, type BuildOptions } from './options.js';

export interface BatchNormConfig {
  /** Added to the variance. */
  readonly eps: number;
  /** The share of the batch's statistics in the running ones after a step, as PyTorch has it. */
  readonly momentum: number;
}

export const BATCH_NORM: Reader<BatchNormConfig> = objectOf<BatchNormConfig>({
  eps: number({ least: 1e-30, most: 1 }),
  momentum: number({ above: 0, most: 1 }),
});

/** PyTorch's defaults. */
export const PYTORCH_NORM: BatchNormConfig = { eps: 1e-5, momentum: 0.1 };

/** How the batch norms of a model normalise; null where they are folded. */
export function normOf(config: BatchNormConfig | null, options: BuildOptions): NormOptions {
  const mode: Mode = options.mode ?? 'train';
  return config && { ...config, mode, statistics: statisticsOf(options) };
}
