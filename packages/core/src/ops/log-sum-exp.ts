/** The normaliser of a softmax, in float64, for the references of attention and cross-entropy. */
import type { Data } from './op.js';

/** log Σ exp zᵢ without overflow; NaN when any zᵢ is NaN. */
export function logSumExp(z: Data): number {
  let highest = -Infinity;
  for (const value of z) highest = Math.max(highest, value);
  let sum = 0;
  for (const value of z) sum += Math.exp(value - highest);
  return highest + Math.log(sum);
}
