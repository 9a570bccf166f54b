/** The bounds of clamp and of its gradient. */
import { expectShape } from './op.js';

export type ClampParams = {
  /** The least result; absent: none. */
  readonly low?: number;
  /** The greatest result; absent: none. */
  readonly high?: number;
};

export const CLAMP_PARAMS = { low: 'number?', high: 'number?' } as const;

/** Arguments of the kernels; `bounds`: 1 where there is a low one, plus 2 where there is a high one. */
export const CLAMP_SCALARS = { bounds: 'int', low: 'float', high: 'float' } as const;

export function encodeClamp({ low, high }: ClampParams) {
  const bounds = (low === undefined ? 0 : 1) + (high === undefined ? 0 : 2);
  return { bounds, low: low ?? 0, high: high ?? 0 };
}

/** Checks that there is a bound, and room between two. */
export function expectBounds({ low, high }: ClampParams, at: string): void {
  expectShape(
    low === undefined ? high !== undefined : high === undefined || low < high,
    at,
    'low, high, or a low below high',
    `low ${String(low)}, high ${String(high)}`,
  );
}
