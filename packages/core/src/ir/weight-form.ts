/**
 * A weight form: how a weight of the dense model lives while it trains. A method's `forward` puts other
 * parameters in its place, or beside it, and says here how to come back: for merging, exports and checkpoints.
 */
import type { Shape } from './types.js';

/** Any array of numbers. */
export type Numbers = Float32Array | Float64Array | Int32Array | Int8Array;

/** How one weight of the dense model lives while it trains. */
export interface WeightForm {
  /** What errors call it: `low-rank`, `adapter`. */
  readonly kind: string;
  /** The weight's name and shape in the dense model. */
  readonly weight: string;
  readonly shape: Shape;
  /** The parameters that it lives in; the first marks the weight's place among all parameters. */
  readonly parts: readonly string[];
  /** Those that a dense checkpoint does without: they start from their initial distribution. */
  readonly added: readonly string[];
  /** The dense weight, from the values of its parts. */
  toDense(read: (parameter: string) => Numbers): Numbers;
}
