/** Evaluation: accuracy, loss and probabilities from logits, and logits that are no answer. */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { DataError, NumericError } from '../src/errors.js';
import type { Executor } from '../src/executors/executor.js';
import { NullExecutor } from '../src/executors/null/index.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import type { Batch } from '../src/train/batch.js';
import { argmax, checkedLogits, crossEntropy, evaluate, softmax } from '../src/train/evaluate.js';
import { initialise } from '../src/train/weights.js';
import { fixedBatch, modelOf, started, TINY } from './tiny-vit.js';

const model = modelOf(TINY);

function load(): Promise<Executor> {
  return started(referenceExecutor, compile({ model, batch: 3 }), model(3));
}

/** Computes nothing: its results are what a test says. */
function initialised(): Executor {
  const executor = new NullExecutor(compile({ model, batch: 3 }));
  initialise(executor, model(3), 1);
  return executor;
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
    const executor = initialised();
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

  it.each<readonly [string, Partial<Batch>, string]>([
    [
      'labels of another number of images',
      { labels: new Int32Array(6) },
      'evaluation: expected 3 labels, one for each image, got 6.',
    ],
    ['more images than there are', { real: 4 }, 'evaluation: expected 0 to 3 images that count'],
  ])('refuses %s', async (_title, change, message) => {
    const [batch] = batches(1);
    await expect(evaluate(await load(), [{ ...batch, ...change }])).rejects.toThrow(message);
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

describe('logits that are no numbers', () => {
  const scores = (value: number) => Float32Array.of(1, 2, 3, 4, value, 6);

  it.each([NaN, Infinity, -Infinity])('are no answer: %s', (value) => {
    expect(() => checkedLogits(scores(value), 'a.jpg')).toThrow(NumericError);
    expect(() => checkedLogits(scores(value), 'a.jpg')).toThrow(
      `logits of a.jpg: expected finite numbers, got ${String(value)} at element 4. The weights lead ` +
        'beyond float32; use others, lower the learning rate where they train, or check the preprocessing.',
    );
    expect(checkedLogits(scores(3e38), 'a.jpg')).toEqual(scores(3e38));
  });

  it('end an evaluation, but not where they are padding', async () => {
    const executor = initialised();
    executor.read = () => Promise.resolve(Float32Array.of(1, 2, 0, 1, 2, NaN, NaN, NaN, NaN));
    const [batch] = batches(1);
    expect(await evaluate(executor, [{ ...batch, real: 1 }])).toMatchObject({ images: 1 });
    await expect(evaluate(executor, [{ ...batch, real: 1 }, batch])).rejects.toThrow(
      'logits of image 2 of the evaluation: expected finite numbers, got NaN at element 2.',
    );
  });

  it('come from finite weights whose sums are not', async () => {
    const executor = await started(wasmExecutor, compile({ model, batch: 3 }), model(3));
    for (const name of ['norm.weight', 'head.weight']) {
      executor.write(name, new Float32Array(name === 'norm.weight' ? 4 : 12).fill(3e38));
    }
    await expect(evaluate(executor, batches(1))).rejects.toThrow(NumericError);
    await executor.dispose();
  });
});

describe('scores of any size', () => {
  it.each([0, 1, 1e4, 1e17, 1e30, 3e38])('have probabilities that sum to 1: %d', (size) => {
    for (const sign of [1, -1]) {
      const scores = Float32Array.of(sign * size, sign * size, -size, sign * size);
      const probabilities = softmax(scores);
      expect(probabilities.reduce((sum, p) => sum + p)).toBeCloseTo(1, 15);
      expect(probabilities[0]).toBe(probabilities[1]);
      const alike = scores.filter((score) => score === scores[0]).length;
      const rest = (4 - alike) * Math.exp(-2 * size);
      expect(crossEntropy(scores, [0])).toBeCloseTo(Math.log(alike + rest), 14);
    }
  });

  it('have a finite loss, however far apart', () => {
    const scores = Float32Array.of(3e38, -3e38, 0);
    expect([...softmax(scores)]).toEqual([1, 0, 0]);
    expect(crossEntropy(scores, [0])).toBe(0);
    expect(crossEntropy(scores, [1])).toBe(2 * Math.fround(3e38));
  });
});

describe('crossEntropy', () => {
  it('of several outputs is that of the sum of their probabilities', () => {
    const scores = Float32Array.of(1, -2, 0.5, 3);
    const p = softmax(scores);
    expect(crossEntropy(scores, [1])).toBeCloseTo(-Math.log(p[1]), 14);
    expect(crossEntropy(scores, [1, 2])).toBeCloseTo(-Math.log(p[1] + p[2]), 14);
    expect(crossEntropy(scores, [0, 1, 2, 3])).toBeCloseTo(0, 14);
  });

  it.each([[[4]], [[-1]], [[0, 9]], [[]], [[1.5]]])(
    'refuses outputs that are none: %j',
    (outputs) => {
      const scores = Float32Array.of(1, -2, 0.5, 3);
      expect(() => crossEntropy(scores, outputs)).toThrow(DataError);
      expect(() => crossEntropy(scores, outputs)).toThrow(
        `classes of the images: expected outputs from 0 to 3, which the model has, got ${outputs.join(', ') || 'none'}. `,
      );
    },
  );

  it('refuses a class that the model does not know where it evaluates', async () => {
    const executor = await load();
    const [batch] = batches(1);
    batch.labels.fill(3, 2);
    await expect(evaluate(executor, [batch])).rejects.toThrow(
      'classes of the images: expected outputs from 0 to 2, which the model has, got 3. ',
    );
  });
});
