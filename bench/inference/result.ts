/** What the inference benchmark finds. */
import type { Rounds, Spread } from '../harness/statistics.js';

/** The dense model in our executor: what the others are compared with. */
export const OWN = 'thimble native';
export const OWN_FACTORED = 'thimble native, factored';

export interface InferenceResult {
  readonly model: string;
  /** How the factored model was made. */
  readonly method: string;
  /** Where the weights came from. */
  readonly weights: string;
  readonly threads: number;
  readonly rounds: number;
  readonly rows: readonly InferenceRow[];
}

export type InferenceRow =
  | { readonly name: string; readonly missing: string }
  | {
      readonly name: string;
      readonly version: string;
      /** From our dense logits, for a dense model; from our factored ones for a factored one. */
      readonly maxDifference: number;
      readonly rssPeakBytes: number;
      readonly times: readonly InferenceTimes[];
    };

/** For one of BATCHES. */
export interface InferenceTimes {
  readonly batch: number;
  readonly samples: Rounds;
  readonly ms: Spread;
  /** How many times as fast our dense model is, within each round. */
  readonly oursFaster: Spread;
}
