/** Evaluation: accuracy and loss of a program's `eval` entry, computed from its logits in float64. */
import type { Images } from '../data/levels.js';
import { DataError, NumericError } from '../errors.js';
import type { Executor, HostData } from '../executors/executor.js';
import { firstNotFinite } from '../finite.js';
import { checkLabels, logitsShape, type Batches } from './batch.js';

/** How a model does on a set of images. */
export interface Evaluation {
  /** Fraction of images whose largest logit is their label's, 0–1. */
  readonly accuracy: number;
  /** Mean cross-entropy without label smoothing. */
  readonly loss: number;
  readonly images: number;
}

/**
 * Runs `eval` over all batches. An empty iteration gives accuracy and loss NaN. Throws NumericError for logits
 * that are not finite, DataError for another number of labels than images, and for one that is no output.
 *
 * @param signal ends it after the current batch, with what was counted so far
 */
export async function evaluate(
  executor: Executor,
  batches: Batches,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const [rows, outputs] = logitsShape(executor.program, 'eval') ?? [0, 0];
  let correct = 0;
  let loss = 0;
  let images = 0;
  for await (const { images: pixels, labels, real, taken } of batches) {
    // Labels of padding are not looked at, those that count by crossEntropy.
    checkLabels('evaluation', labels, { rows, real, classes: null });
    const logits = await predictLogits(executor, pixels, taken);
    for (let row = 0; row < real; row++) {
      const image = `image ${String(images + row)} of the evaluation`;
      const scores = checkedLogits(logits.subarray(row * outputs, (row + 1) * outputs), image);
      if (argmax(scores) === labels[row]) correct++;
      loss += crossEntropy(scores, [labels[row]]);
    }
    images += real;
    if (signal?.aborted === true) break;
  }
  return { accuracy: correct / images, loss: loss / images, images };
}

/**
 * Logits of one batch of the `eval` entry, row-major [B, classes]; of padding, whatever comes out.
 *
 * @param taken called once `images` has been copied
 */
export async function predictLogits(
  executor: Executor,
  images: Images,
  taken?: () => void,
): Promise<HostData> {
  executor.write('eval.images', images);
  taken?.();
  await executor.run('eval');
  return executor.read('eval.logits');
}

/**
 * The logits of one image, which have to be finite: finite weights may still lead beyond float32. Throws
 * NumericError.
 *
 * @param image what errors call it
 */
export function checkedLogits(scores: HostData, image: string): HostData {
  const at = firstNotFinite(scores);
  if (at < 0) return scores;
  throw new NumericError({
    where: `logits of ${image}`,
    expected: 'finite numbers',
    got: `${String(scores[at])} at element ${String(at)}`,
    todo:
      'The weights lead beyond float32; use others, lower the learning rate where they train, or ' +
      'check the preprocessing',
    options: ['lr', 'preprocess'],
  });
}

/** Index of the largest score; the first of equal ones. */
export function argmax(scores: HostData): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
  return best;
}

/** exp(s) / Σ exp(s), without overflow, whatever the size of the scores. */
export function softmax(scores: HostData): Float64Array {
  const most = scores[argmax(scores)];
  const sum = sumOfExp(scores, most);
  return Float64Array.from(scores, (score) => Math.exp(score - most) / sum);
}

/**
 * −log of the probability of a class: of its one output, or of all that mean it.
 *
 * @param outputs indices of scores. Throws DataError where one is none.
 */
export function crossEntropy(scores: HostData, outputs: readonly number[]): number {
  const own = Float64Array.from(outputs, (output) => scores[output] ?? NaN);
  if (own.length === 0 || firstNotFinite(own) >= 0) throw noOutput(outputs, scores.length);
  const [most, mostOwn] = [scores[argmax(scores)], own[argmax(own)]];
  return most - mostOwn + Math.log(sumOfExp(scores, most)) - Math.log(sumOfExp(own, mostOwn));
}

/**
 * Σ exp(s − most). Its logarithm, at most that of the number of classes, is not added to `most`, in which it would
 * be lost: 1e20 + log 2 is 1e20.
 */
function sumOfExp(scores: HostData, most: number): number {
  let sum = 0;
  for (const score of scores) sum += Math.exp(score - most);
  return sum;
}

function noOutput(outputs: readonly number[], count: number): DataError {
  return new DataError({
    where: 'classes of the images',
    expected: `outputs from 0 to ${String(count - 1)}, which the model has`,
    got: outputs.length === 0 ? 'none' : outputs.join(', '),
    todo: 'Evaluate on images of these classes only',
  });
}
