import type { Mode } from '../ir/graph.js';

/** What every model is built with besides its configuration. */
export interface BuildOptions {
  readonly batch: number;
  /** Default: train. */
  readonly mode?: Mode;
  /** Label smoothing of the loss, in [0, 1). */
  readonly smoothing?: number;
}
