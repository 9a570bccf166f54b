/**
 * Membership inference: the entropy of a softmax, the regression against scikit-learn and its own optimum, and
 * the scores of forgetting against counting.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { DataError } from '../src/errors.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { evaluate } from '../src/train/evaluate.js';
import { attackedShare, entropy, fitLogistic } from '../src/unlearn/attack.js';
import { forgettingScores, outcomes, type Outcome } from '../src/unlearn/outcomes.js';
import { fixedBatch, modelOf, SMALL, started } from './tiny-vit.js';

describe('entropy', () => {
  it.each([
    [[2, 2, 2, 2], Math.log(4)],
    [[0, -Infinity], 0],
    [[1e4, 0, -1e4], 0],
    [[Math.log(3), 0], Math.log(4) - 0.75 * Math.log(3)],
  ])('of %j', (scores, nats) => {
    expect(entropy(Float64Array.from(scores))).toBeCloseTo(nats, 14);
  });
});

/** Derivatives of ½w² + Σ weight log(1 + exp(∓(wx + b))). */
function slopes(members: readonly number[], others: readonly number[], w: number, b: number) {
  const total = members.length + others.length;
  const sums = (all: readonly number[], sign: number) =>
    all
      .map((x) => ({
        x,
        pull: (-sign * total) / (2 * all.length) / (1 + Math.exp(sign * (w * x + b))),
      }))
      .reduce((sum, { x, pull }) => [sum[0] + pull * x, sum[1] + pull], [0, 0]);
  const [one, other] = [sums(members, 1), sums(others, -1)];
  return [w + one[0] + other[0], one[1] + other[1]];
}

describe('regression', () => {
  it.each([
    ['apart', [0, 0.1, 0.2], [3, 4, 5, 6]],
    ['mixed', [0.1, 0.9, 0.4, 0.2, 0.3], [0.5, 0.2]],
    ['equal', [1, 1, 1], [1, 1]],
    ['large', [1e3, 2e3], [-1e3, 1.5e3, 7]],
  ])('is where nothing falls any more: %s', (_, members, others) => {
    const { slope, intercept } = fitLogistic(members, others);
    for (const derivative of slopes(members, others, slope, intercept)) {
      expect(Math.abs(derivative)).toBeLessThan(1e-9 * Math.max(1, ...members.map(Math.abs)));
    }
  });

  it('is that of scikit-learn, as reference/attack.py prints it', () => {
    const members = [0.02, 0.1, 0.05, 0.6, 0.3, 0.01, 0.2];
    const { slope, intercept } = fitLogistic(members, [0.4, 0.9, 0.15, 1.1]);
    // Its solver stops near the optimum.
    expect(Math.abs(slope + 0.9023017716227621)).toBeLessThan(1e-6);
    expect(Math.abs(intercept - 0.36775411737195274)).toBeLessThan(1e-6);
  });

  it('is symmetric where the examples are', () => {
    const { slope, intercept } = fitLogistic([-1, -2], [1, 2]);
    expect(slope).toBeLessThan(0);
    expect(intercept).toBeCloseTo(0, 12);
  });

  it('needs both kinds of images', () => {
    expect(() => fitLogistic([], [1])).toThrow(DataError);
    expect(() => fitLogistic([1], [])).toThrow(
      'membership inference: expected images that were trained on and images that were not, got 1 and 0',
    );
  });

  it('takes for members what is like them', () => {
    expect(attackedShare([0, 0.1, 0.2], [1, 1.1], [0.05, 0.15, 1.2, 3])).toBe(0.5);
    expect(attackedShare([1, 1.2], [0, 0.1, 0.2], [0.05, 0.15, 1.2, 3])).toBe(0.5);
  });
});

/** Outcomes with these entropies, of which so many are right. */
function made(entropies: readonly number[], right: number): readonly Outcome[] {
  return entropies.map((value, index) => ({ entropy: value, isRight: index < right }));
}

describe('scores', () => {
  const retained = made([0, 0.1, 0.2, 0.1], 4);
  const forgotten = made([0.1, 1, 1.2, 0.9], 1);
  const retainedTest = made([0.9, 1.1, 0.8], 2);

  it('are means over images of a class to forget', () => {
    const forgottenTest = made([1, 1.3], 0);
    expect(forgettingScores({ retained, forgotten, retainedTest, forgottenTest })).toEqual({
      retainedAccuracy: 2 / 3,
      forgottenAccuracy: 0,
      attackedAccuracy: 0.25,
    });
  });

  it('take the images of training where single ones are forgotten', () => {
    const scores = forgettingScores({ retained, forgotten, retainedTest, forgottenTest: [] });
    expect(scores.forgottenAccuracy).toBe(0.25);
  });

  it('say nothing where there are no images', () => {
    const none = { retained, forgotten, retainedTest: [], forgottenTest: [] };
    expect(forgettingScores(none)).toEqual({
      retainedAccuracy: null,
      forgottenAccuracy: 0.25,
      attackedAccuracy: null,
    });
  });
});

it('outcomes are right as often as evaluation says, without padding', async () => {
  const program = compile({ model: modelOf(SMALL), batch: 4 });
  const executor = await started(referenceExecutor, program, modelOf(SMALL)(1));
  const batches = [fixedBatch(SMALL, 4), { ...fixedBatch(SMALL, 4, 9), real: 3 }];
  const found = await outcomes(executor, batches);
  expect(found.length).toBe(7);
  const right = found.filter(({ isRight }) => isRight).length;
  expect(right / 7).toBe((await evaluate(executor, batches)).accuracy);
  for (const { entropy: nats } of found) {
    expect(nats).toBeGreaterThan(0);
    expect(nats).toBeLessThan(Math.log(SMALL.classes));
  }
});
