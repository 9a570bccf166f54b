/**
 * How planned bytes grow: affine in batch and in depth. Legend: B batch, L depth.
 *
 * A line through two plans predicts the others. Places are multiples of 64 bytes, so that batches are
 * multiples of 16: one float for each image then fills whole places. The arena is packed by a
 * heuristic, so that a plan may differ from the line by the TOLERANCE.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { parseMethod } from '../src/methods/index.js';
import { sgd } from '../src/optim/sgd.js';
import { plannedBytes, type Program } from '../src/program.js';
import { modelOf, SMALL } from './tiny-vit.js';

const TOLERANCE = 0.0001;

function planOf(method: string, batch: number, depth: number): Program {
  const model = modelOf({ ...SMALL, width: 48, depth });
  const optimizer = sgd({ momentum: 0 });
  return compile({ model, method: parseMethod(method), optimizer, batch, evalBatch: 0 });
}

/** Planned bytes on one thread at each x, as shares of the line through the first two. */
function sharesOfLine(xs: readonly number[], bytesAt: (x: number) => number): readonly number[] {
  const [first, second] = xs;
  const start = bytesAt(first);
  const slope = (bytesAt(second) - start) / (second - first);
  return xs.slice(2).map((x) => bytesAt(x) / (start + slope * (x - first)));
}

function expectAffine(xs: readonly number[], bytesAt: (x: number) => number): void {
  for (const share of sharesOfLine(xs, bytesAt)) {
    expect(Math.abs(share - 1)).toBeLessThan(TOLERANCE);
  }
}

describe('planned bytes of full training', () => {
  it('are affine in the batch', () => {
    expectAffine([16, 32, 48, 64, 128], (batch) => plannedBytes(planOf('full', batch, 3), 1));
  });

  it('are affine in the depth', () => {
    expectAffine([2, 4, 6, 8, 12], (depth) => plannedBytes(planOf('full', 8, depth), 1));
  });
});

describe('planned bytes of wasi', () => {
  it('are affine in the depth', () => {
    expectAffine([2, 3, 6], (depth) => plannedBytes(planOf('wasi=0.7', 8, depth), 1));
  });
});

describe('persistent bytes', () => {
  it.each(['full', 'wasi=0.7'])('of %s grow by the same for every block', (method) => {
    const bytes = [1, 2, 3].map((depth) => planOf(method, 8, depth).persistentBytes);
    const steps = bytes.slice(1).map((value, index) => value - bytes[index]);
    expect(new Set(steps).size).toBe(1);
  });

  it('of full training do not grow with the batch', () => {
    expect(planOf('full', 64, 3).persistentBytes).toBe(planOf('full', 8, 3).persistentBytes);
  });
});
