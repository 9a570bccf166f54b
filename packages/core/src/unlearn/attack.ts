/**
 * attack: can one tell from a model's outputs that it was trained on an image?
 *
 * Membership inference by confidence: a logistic regression on the entropy of the softmax learns to tell
 * retained images of training (members) from images that were never trained on, both with the same weight;
 * the *attacked accuracy* is the share of forgotten images that it takes for members. A model that was never
 * trained on these images is the measure of what is low. The attack is weak: one that fails proves nothing.
 *
 * Reference: the evaluation of Foster, Schoepf & Brintrup, AAAI 2024, which takes it from Chundawat et al.,
 * Can bad teaching induce forgetting?, AAAI 2023 (arXiv:2205.08096). The regression is that of scikit-learn's
 * defaults: ridge penalty ½w² on the slope, none on the intercept.
 */
import { DataError } from '../errors.js';
import type { HostData } from '../executors/executor.js';
import { softmax } from '../train/evaluate.js';

/** −Σ p log p of the softmax, in nats. */
export function entropy(scores: HostData): number {
  let sum = 0;
  for (const p of softmax(scores)) if (p > 0) sum -= p * Math.log(p);
  return sum;
}

/** P(member) = 1 / (1 + exp(−(slope x + intercept))). */
export interface Logistic {
  readonly slope: number;
  readonly intercept: number;
}

/** The share of `forgotten` that a regression on the others takes for members. Throws DataError. */
export function attackedShare(
  members: readonly number[],
  others: readonly number[],
  forgotten: readonly number[],
): number {
  const { slope, intercept } = fitLogistic(members, others);
  return forgotten.filter((x) => slope * x + intercept > 0).length / forgotten.length;
}

/**
 * The minimum of ½w² + Σ weight · log(1 + exp(∓(w x + b))), where each of the two classes has half of the
 * whole weight, which is the number of examples. Newton's method, halved where it goes too far: the sum is
 * strictly convex. Throws DataError where a class is empty.
 */
export function fitLogistic(members: readonly number[], others: readonly number[]): Logistic {
  if (members.length === 0 || others.length === 0) {
    throw new DataError({
      where: 'membership inference',
      expected: 'images that were trained on and images that were not',
      got: `${String(members.length)} and ${String(others.length)}`,
      todo: 'Give validation images, and forget fewer of those of training',
    });
  }
  const total = members.length + others.length;
  const examples = [
    ...members.map((x) => ({ x, sign: 1, weight: total / (2 * members.length) })),
    ...others.map((x) => ({ x, sign: -1, weight: total / (2 * others.length) })),
  ];
  let current: Logistic = { slope: 0, intercept: 0 };
  for (let iteration = 0; iteration < MOST_ITERATIONS; iteration++) {
    const { cost, step } = newton(examples, current);
    let size = 1;
    let next = moved(current, step, size);
    while (newton(examples, next).cost > cost && size > SMALLEST_STEP) {
      size /= 2;
      next = moved(current, step, size);
    }
    if (size <= SMALLEST_STEP || !Number.isFinite(next.slope)) break; // no better one in float64
    current = next;
  }
  return current;
}

const MOST_ITERATIONS = 100;
const SMALLEST_STEP = 1e-10;

interface Example {
  readonly x: number;
  /** 1 for a member, −1 for any other. */
  readonly sign: number;
  readonly weight: number;
}

/** The cost at a point, and −H⁻¹ g there. */
function newton(
  examples: readonly Example[],
  { slope, intercept }: Logistic,
): { readonly cost: number; readonly step: Logistic } {
  let cost = (slope * slope) / 2;
  const gradient = { slope, intercept: 0 };
  const hessian = { xx: 1, x1: 0, one: 0 };
  for (const { x, sign, weight } of examples) {
    const margin = sign * (slope * x + intercept);
    // log(1 + exp(−m)), and the probability of being wrong, without overflow.
    cost += weight * (Math.max(0, -margin) + Math.log1p(Math.exp(-Math.abs(margin))));
    const wrong = 1 / (1 + Math.exp(margin));
    gradient.slope -= weight * sign * wrong * x;
    gradient.intercept -= weight * sign * wrong;
    const curvature = weight * wrong * (1 - wrong);
    hessian.xx += curvature * x * x;
    hessian.x1 += curvature * x;
    hessian.one += curvature;
  }
  const { xx, x1, one } = hessian;
  const determinant = xx * one - x1 * x1;
  return {
    cost,
    step: {
      slope: (x1 * gradient.intercept - one * gradient.slope) / determinant,
      intercept: (x1 * gradient.slope - xx * gradient.intercept) / determinant,
    },
  };
}

function moved(from: Logistic, step: Logistic, size: number): Logistic {
  return {
    slope: from.slope + size * step.slope,
    intercept: from.intercept + size * step.intercept,
  };
}
