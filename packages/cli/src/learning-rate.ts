/** Peak learning rates that work when none is given. */

/**
 * By optimiser; higher where only a small part trains (it is closer to convex), and for AdamW higher from
 * scratch than for pretrained weights, which it would wash out.
 */
export function defaultLearningRate(optimizer: string, method: string, scratch: boolean): number {
  const few = method === 'head' || method === 'bias-only';
  if (optimizer === 'adamw') return scratch || few ? 1e-3 : 1e-4;
  return 0.01;
}
