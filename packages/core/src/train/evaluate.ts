/** Evaluation: accuracy and loss of a program's `eval` entry, computed from its logits in float64. */
import type { Executor, HostData } from '../executors/executor.js';

/** Images as the model reads them: [B, C, S, S] and one label each. */
export interface Batch {
  readonly images: Float32Array;
  readonly labels: Int32Array;
  /** Rows that count; the rest of an evaluation's last batch is padding. */
  readonly real: number;
  /** Called once the images have been copied: their array may be filled with the next ones. */
  readonly taken?: () => void;
}

export type Batches = AsyncIterable<Batch> | Iterable<Batch>;

export interface Evaluation {
  /** Fraction of images whose largest logit is their label's, 0–1. */
  readonly accuracy: number;
  /** Mean cross-entropy without label smoothing. */
  readonly loss: number;
  readonly images: number;
}

/**
 * Runs `eval` over all batches. An empty iteration gives accuracy and loss NaN.
 *
 * @param signal ends it after the current batch, with what was counted so far
 */
export async function evaluate(
  executor: Executor,
  batches: Batches,
  signal?: AbortSignal,
): Promise<Evaluation> {
  let correct = 0;
  let loss = 0;
  let images = 0;
  for await (const { images: pixels, labels, real, taken } of batches) {
    const logits = await predictLogits(executor, pixels, taken);
    const classes = logits.length / labels.length;
    for (let row = 0; row < real; row++) {
      const scores = logits.subarray(row * classes, (row + 1) * classes);
      if (argmax(scores) === labels[row]) correct++;
      loss += logSumExp(scores) - scores[labels[row]];
    }
    images += real;
    if (signal?.aborted === true) break;
  }
  return { accuracy: correct / images, loss: loss / images, images };
}

/**
 * Logits of one batch of the `eval` entry, row-major [B, classes].
 *
 * @param taken called once `images` has been copied
 */
export async function predictLogits(
  executor: Executor,
  images: Float32Array,
  taken?: () => void,
): Promise<HostData> {
  executor.write('eval.images', images);
  taken?.();
  await executor.run('eval');
  return executor.read('eval.logits');
}

/** Index of the largest score; the first of equal ones. */
export function argmax(scores: HostData): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
  return best;
}

/** exp(s) / Σ exp(s), without overflow. */
export function softmax(scores: HostData): Float64Array {
  const normaliser = logSumExp(scores);
  return Float64Array.from(scores, (score) => Math.exp(score - normaliser));
}

function logSumExp(scores: HostData): number {
  let most = -Infinity;
  for (const score of scores) most = Math.max(most, score);
  let sum = 0;
  for (const score of scores) sum += Math.exp(score - most);
  return most + Math.log(sum);
}
