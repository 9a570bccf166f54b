/** Evaluation: accuracy and loss of a program's `eval` entry, computed from its logits in float64. */
import { TrainingError } from '../errors.js';
import type { Executor, HostData } from '../executors/executor.js';
import { checkLabels, logitsShape, type Batches } from './batch.js';

export interface Evaluation {
  /** Fraction of images whose largest logit is their label's, 0–1. */
  readonly accuracy: number;
  /** Mean cross-entropy without label smoothing. */
  readonly loss: number;
  readonly images: number;
}

/**
/**
 * Runs `eval` over all batches. An empty iteration gives accuracy and loss NaN. Throws DataError for labels
 * that do not fit, TrainingError for logits that are no numbers: the largest of those would mean nothing.
 *
 * @param signal ends it after the current batch, with what was counted so far
 * @param where what errors call it
 */
export async function evaluate(
  executor: Executor,
  batches: Batches,
  signal?: AbortSignal,
  where = 'evaluation',
): Promise<Evaluation> {
  const [rows, classes] = logitsShape(executor.program, 'eval') ?? [0, 0];
  let correct = 0;
  let loss = 0;
  let images = 0;
  for await (const { images: pixels, labels, real, taken } of batches) {
    checkLabels(where, labels, { rows, real, classes });
    const logits = await predictLogits(executor, pixels, taken);
    for (let row = 0; row < real; row++) {
      const scores = logits.subarray(row * classes, (row + 1) * classes);
      checkScores(scores, images + row, where);
      if (argmax(scores) === labels[row]) correct++;
      loss += logSumExp(scores) - scores[labels[row]];
    }
    images += real;
    if (signal?.aborted === true) break;
  }
  return { accuracy: correct / images, loss: loss / images, images };
}

function checkScores(scores: HostData, image: number, where: string): void {
  const bad = scores.find((score: number) => !Number.isFinite(score));
  if (bad === undefined) return;
  throw new TrainingError({
    where,
    expected: 'a finite loss',
    got: `the logit ${String(bad)} for image ${String(image + 1)}`,
    todo: 'Check that the weights and the pixels are numbers; a run that diverged needs a lower --lr',
  });
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
