/** Evaluation: accuracy, loss and probabilities from logits, and logits that are no answer. */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import type { Executor } from '../src/executors/executor.js';
import { NullExecutor } from '../src/executors/null/index.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { argmax, evaluate, softmax, type Batch } from '../src/train/evaluate.js';
import { fixedBatch, modelOf, started, TINY } from './tiny-vit.js';

const model = modelOf(TINY);

function load(): Promise<Executor> {
  return started(referenceExecutor, compile({ model, batch: 3 }), model(3));
}

/** `count` different batches. */
function batches(count: number): readonly Batch[] {
  return Array.from({ length: count }, (_, index) => fixedBatch(TINY, 3, index));
}

describe('evaluate', () => {
  it('counts the real rows of a padded batch and no others', async () => {
    const executor = await load({ evalBatch: 3 });
    const [first, second] = batches(2);
    const all = await evaluate(executor, [first, second]);
    expect(all.images).toBe(6);
    const padded = { ...second, real: 1 };
    padded.labels.fill(-1, 1);
    padded.images.fill(NaN, second.images.length / 3);
    const part = await evaluate(executor, [first, padded]);
    const one = await evaluate(executor, [first]);
    const alone = await evaluate(executor, [padded]);
    expect(part.images).toBe(4);
    expect(part.loss).toBeCloseTo((3 * one.loss + alone.loss) / 4, 14);
    expect(part.accuracy).toBeCloseTo((3 * one.accuracy + alone.accuracy) / 4, 14);
  });

  it('takes accuracy and cross-entropy from the logits', async () => {
    const program = compile({ model, batch: 3 });
    const executor = new NullExecutor(program);
    const logits = Float32Array.of(1, 2, 0, 5, 5, -1, 0, 0, 3);
    executor.read = () => Promise.resolve(logits);
    const images = new Float32Array(3 * 16);
    const labels = Int32Array.of(1, 1, 2);
    const { accuracy, loss } = await evaluate(executor, [{ images, labels, real: 3 }]);
    // The first of two equal scores is the prediction, so row 1 counts as wrong.
    expect(accuracy).toBeCloseTo(2 / 3, 15);
    const want = [
      Math.log(Math.E + Math.E ** 2 + 1) - 2,
      Math.log(2 * Math.E ** 5 + 1 / Math.E) - 5,
      Math.log(2 + Math.E ** 3) - 3,
    ];
    expect(loss).toBeCloseTo((want[0] + want[1] + want[2]) / 3, 12);
  });

  it('gives NaN for nothing', async () => {
    expect(await evaluate(await load(), [])).toEqual({ accuracy: NaN, loss: NaN, images: 0 });
  });

  it('has a softmax that does not overflow', () => {
    const [a, b, c] = softmax(Float64Array.of(1000, 1000, -1000));
    expect(a).toBeCloseTo(0.5, 12);
    expect([b, c]).toEqual([a, 0]);
    expect(argmax(Float64Array.of(-3, 7, 7))).toBe(1);
  });
});
