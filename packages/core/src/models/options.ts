import type { Normalisation } from '../data/levels.js';
import type { Mode } from '../ir/graph.js';

/** What every model is built with besides its configuration. */
export interface BuildOptions {
  readonly batch: number;
  /** Default: train. */
  readonly mode?: Mode;
  /** Label smoothing of the loss, in [0, 1). */
  readonly smoothing?: number;
  /**
   * The input `images` holds levels of pictures in bytes (`levelsInto`), a quarter of their numbers, and the model
   * normalises them; the results have the same bits. Absent: it holds the numbers.
   */
  readonly levels?: Normalisation;
  /**
   * What batch norms of a model in mode `train` normalise with: `batch`, the statistics of each forward pass, towards
   * which the running ones move; `frozen`, the running ones, which stay. Absent: `frozen` for a batch below
   * FEW_IMAGES, whose statistics say little.
   */
  readonly batchNorm?: BatchNormStatistics;
}

/** What batch norms normalise with in training: statistics of each forward pass, or the running ones as they are. */
export type BatchNormStatistics = 'batch' | 'frozen';

/** A batch of fewer images trains with frozen statistics where nothing else is said. */
export const FEW_IMAGES = 16;

/** What batch norms normalise with in training. */
export function statisticsOf({ batch, batchNorm }: BuildOptions): BatchNormStatistics {
  return batchNorm ?? (batch < FEW_IMAGES ? 'frozen' : 'batch');
}
