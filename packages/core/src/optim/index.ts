/** The optimisers by name, as the command line knows them. */
import type { Optimizer } from './optimizer.js';
import { adamw } from './adamw.js';
import type { MomentumBits } from './momentum.js';
import { sgd } from './sgd.js';

/** Options that any optimiser may take; each reads its own. */
export interface OptimizerOptions {
  readonly momentum?: number;
  readonly momentumBits?: MomentumBits;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
}

/** Every optimiser, by name. */
export const OPTIMIZERS = {
  sgd,
  adamw,
} as const satisfies Record<string, (options: OptimizerOptions) => Optimizer>;

/** Name of an optimiser. */
export type OptimizerName = keyof typeof OPTIMIZERS;
