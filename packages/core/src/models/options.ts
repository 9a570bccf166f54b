/** What models are built with, and rules that they share. */

/** Whether float32 can add ε to a variance: it is not nothing, and not all there is. */
export function isEpsilon(eps: number): boolean {
  return Math.fround(eps) > 0 && eps <= 1;
}

/** What ε has to be, for errors. */
export const EPSILON_RULE = 'a number that float32 can hold, at most 1';

/** What every model is built with besides its configuration. */
export interface BuildOptions {
  readonly batch: number;
  /** Label smoothing of the loss, in [0, 1). */
  readonly smoothing?: number;
}
