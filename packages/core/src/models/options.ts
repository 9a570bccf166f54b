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
}
