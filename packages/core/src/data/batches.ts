/**
 * The order of an epoch and its cutting into batches of one fixed size, because a program is
 * compiled for one batch size: training drops the last partial batch (methods with state per batch
 * row need every row real), evaluation fills it with repeats and says how many rows count.
 */
import { ConfigError, DataError } from '../errors.js';
import { Random } from '../random.js';

/** The images 0..count-1 in the order of this epoch: a function of (seed, epoch). */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  return Random.of(seed, 'shuffle', epoch).shuffle(order);
}

/** Full batches in one epoch of training. Throws DataError when there is not even one. */
export function trainingBatchCount(count: number, batch: number): number {
  requireBatch(batch);
  if (count < batch) {
    throw new DataError({
      where: 'training set',
      expected: `at least one batch of ${batch} images`,
      got: `${count} images`,
      todo: `Lower the batch to ${Math.max(1, count)} or less, or add images`,
      options: ['batch'],
    });
  }
  return Math.floor(count / batch);
}

/** Batches in one evaluation, the last one perhaps partial. */
export function evaluationBatchCount(count: number, batch: number): number {
  requireBatch(batch);
  return Math.ceil(count / batch);
}

/** A batch of evaluation: `indices` has the full length, only the first `real` count. */
export interface EvaluationBatch {
  readonly indices: Uint32Array; // [batch]
  readonly real: number;
}

/** Training batches: consecutive runs of the order; the rest at its end is dropped. */
export function trainingBatches(order: Uint32Array, batch: number): Uint32Array[] {
  const count = trainingBatchCount(order.length, batch);
  return Array.from({ length: count }, (_, n) => order.subarray(n * batch, (n + 1) * batch));
}

/** Evaluation batches in the natural order; the last is filled by repeating its last image. */
export function evaluationBatches(count: number, batch: number): EvaluationBatch[] {
  return Array.from({ length: evaluationBatchCount(count, batch) }, (_, n) => {
    const indices = Uint32Array.from({ length: batch }, (_, i) =>
      Math.min(n * batch + i, count - 1),
    );
    return { indices, real: Math.min(batch, count - n * batch) };
  });
}

function requireBatch(batch: number): void {
  if (Number.isInteger(batch) && batch >= 1) return;
  throw new ConfigError({
    where: 'batch',
    expected: 'a positive integer',
    got: String(batch),
    todo: 'Choose for instance 16',
    options: ['batch'],
  });
}
