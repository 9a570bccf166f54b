/** Peak learning rates that work when none is given. */

/**
 * By optimiser; for AdamW lower where pretrained weights train whole, since it would wash them out.
 */
export function defaultLearningRate(optimizer: string, method: string, scratch: boolean): number {
  if (optimizer !== 'adamw') return 0.01;
  return scratch || method === 'head' || method === 'bias-only' ? 1e-3 : 1e-4;
}
