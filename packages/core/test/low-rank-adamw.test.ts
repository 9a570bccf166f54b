/**
 * AdamW on a weight in low-rank form: where it is AdamW on a dense matrix, where it ends, its norm, its states,
 * its orthonormality, its bits.
 *
 * Legend: W = L R, L [O, K], R [K, I], D = dL/dW, A a target.
 */
import { describe, expect, it } from 'vitest';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { bytesOf, elements } from '../src/ir/types.js';
import { adamw, type AdamWSettings } from '../src/optim/adamw.js';
import {
  combined,
  decomposed,
  distance,
  matrix,
  norm,
  orthonormal,
  product,
  randomMatrix,
  skew,
  transposed,
  type Matrix,
} from './dense.js';
import { FAST_EXECUTORS } from './executors.js';
import { gradientAt, load, program, whole, type Gradient, type Sizes } from './low-rank-pair.js';

const SIZES: Sizes = { O: 13, I: 11, K: 4, r: 3 };
const TALL: Sizes = { O: 13, I: 5, K: 5, r: 3 };
const WIDE: Sizes = { O: 5, I: 13, K: 5, r: 3 };
const RATE = 0.05;

describe('at K = O', () => {
  // The span of L is everything, so that L stays and R is LᵀW.
  it.each<AdamWSettings>([{ weightDecay: 0 }, { weightDecay: 0.3 }, { beta1: 0.5, eps: 0.1 }])(
    'is dense AdamW on LᵀW: %o',
    async (settings) => {
      for (const known of ['product', 'sides'] as const) {
        const optimizer = adamw({ ...settings, decay: 'all' });
        const pair = await load(referenceExecutor, program(WIDE, known, optimizer), WIDE, {
          optimizer,
        });
        const start = await pair.state();
        const back = transposed(start.left);
        const gradients = [0, 1, 2, 3, 4, 5].map((step) => gradientAt(WIDE, step));
        const turned = gradients.map((gradient) => product(back, gradient.whole));
        for (const gradient of gradients) await pair.step(gradient, RATE);
        const after = await pair.state();
        expect(distance(after.left, start.left)).toBeLessThan(1e-12);
        expect(distance(after.right, denseAdamw(start.right, turned, settings))).toBeLessThan(
          1e-12,
        );
      }
    },
  );
});

it('takes at its first step the signs of the tangent, projected', async () => {
  const optimizer = adamw({ weightDecay: 0, eps: 1e-30 });
  const pair = await load(referenceExecutor, program(SIZES, 'sides', optimizer), SIZES, {
    optimizer,
  });
  const before = await pair.state();
  const d = gradientAt(SIZES, 0);
  const rate = 1e-6;
  await pair.step(d, rate);
  const { left, right } = before;
  const inside = product(transposed(left), d.whole);
  // Q = chol(R Rᵀ)⁻ᵀ R has orthonormal rows, and dL V = D Qᵀ.
  const q = orthonormalRows(right);
  const outside = withoutSpan(left, product(d.whole, transposed(q)));
  const tangent = combined(
    1,
    product(left, signs(inside)),
    1,
    product(withoutSpan(left, signs(outside)), q),
  );
  const moved = combined(1, whole(before), -1, whole(await pair.state()));
  expect(distance(combined(1 / rate, moved, 0, moved), tangent)).toBeLessThan(1e-4);
});

it.each([
  { title: 'K < I', sizes: SIZES },
  { title: 'K = I', sizes: TALL },
  { title: 'K = O', sizes: WIDE },
])('ends at the best matrix of rank K, in float64: $title', async ({ sizes }) => {
  const target = randomMatrix(sizes.O, sizes.I, 'target');
  const { left, right } = decomposed(target, sizes.K);
  const optimizer = adamw({ weightDecay: 0 });
  const pair = await load(referenceExecutor, program(sizes, 'sides', optimizer), sizes, {
    optimizer,
  });
  const steps = 1500;
  for (let step = 0; step < steps; step++) {
    const error = combined(1, whole(await pair.state()), -1, target);
    await pair.step(gradientOf(error), 0.05 * (1 - step / steps) ** 2);
  }
  const after = await pair.state();
  const best = norm(combined(1, product(left, right), -1, target));
  expect(norm(combined(1, whole(after), -1, target))).toBeLessThan(best + 1e-4 * norm(target));
  expect(skew(after.left)).toBeLessThan(1e-13);
});

it('measures the norm of the tangent for clipping, and is blind to its length', async () => {
  const optimizer = adamw({ weightDecay: 0, eps: 1e-30 });
  const [plain, clipped] = await Promise.all(
    [undefined, 1e-3].map(async (clip) => {
      const compiled = program(SIZES, 'sides', optimizer, clip);
      const pair = await load(referenceExecutor, compiled, SIZES, { optimizer });
      await pair.step(gradientAt(SIZES, 0), RATE);
      return pair;
    }),
  );
  expect(distance(whole(await clipped.state()), whole(await plain.state()))).toBeLessThan(1e-11);
  const [squared] = await clipped.executor.read('step.squaredGradientNorm');
  const { whole: d } = gradientAt(SIZES, 0);
  const start = await load(referenceExecutor, program(SIZES, 'sides', optimizer), SIZES);
  const { left, right } = await start.state();
  const beside = withoutSpan(left, product(d, transposed(orthonormalRows(right))));
  const want = norm(product(transposed(left), d)) ** 2 + norm(beside) ** 2;
  expect(Math.abs(squared / want - 1)).toBeLessThan(1e-12);
});

describe.each(FAST_EXECUTORS)('on $name', (kind) => {
  it.each(['product', 'sides'] as const)('agrees with the reference: %s', async (known) => {
    const sizes = { O: 70, I: 45, K: 19, r: 6 };
    // ε well above rounding: the quotient of an element near zero has no digits.
    const optimizer = adamw({ eps: 1e-2 });
    const compiled = program(sizes, known, optimizer, 5);
    const [want, got] = await Promise.all(
      [referenceExecutor, kind].map(async (on) => {
        const pair = await load(on, compiled, sizes, { optimizer });
        for (let step = 0; step < 5; step++) await pair.step(gradientAt(sizes, step), 0.01);
        return pair.state();
      }),
    );
    // Rounding of float32 products, amplified by the condition of RRᵀ, 10² here.
    expect(distance(whole(got), whole(want))).toBeLessThan(1e-5);
  });

  it('has the same bits on 1, 2 and 4 threads', async () => {
    const sizes = { O: 150, I: 70, K: 40, r: 9 };
    const optimizer = adamw();
    const runs = [1, 2, 4].map(async (threads) => {
      const compiled = program(sizes, 'product', optimizer, 5);
      const pair = await load(kind, compiled, sizes, { threads, optimizer });
      for (let step = 0; step < 3; step++) await pair.step(gradientAt(sizes, step), RATE);
      return pair.state();
    });
    const [one, two, four] = await Promise.all(runs);
    expect(two).toEqual(one);
    expect(four).toEqual(one);
  });

  it('keeps L orthonormal over 300 steps', async () => {
    const sizes = { O: 40, I: 28, K: 12, r: 5 };
    const optimizer = adamw();
    for (const condition of [10, 1e3]) {
      const pair = await load(kind, program(sizes, 'sides', optimizer), sizes, {
        optimizer,
        condition,
      });
      for (let step = 0; step < 300; step++) {
        await pair.step(gradientAt(sizes, step % 50), 1e-2);
        if (step % 10 === 0) expect(skew((await pair.state()).left)).toBeLessThan(1e-5);
      }
      expect(norm((await pair.state()).right)).toBeGreaterThan(0.01);
    }
  });
});

it('keeps two moments of each side and never holds an O×I array', () => {
  // No two of O, I, K, r and their products agree with O·I = 899 or come above it.
  const sizes: Sizes = { O: 31, I: 29, K: 11, r: 7 };
  for (const known of ['product', 'sides'] as const) {
    const { slots } = program(sizes, known, adamw(), 1);
    const states = slots.filter(({ role }) => role === 'state');
    const { O, I, K } = sizes;
    expect(states.map(({ name, type }) => [name, bytesOf(type)])).toEqual([
      ['w.right.m', 4 * K * I],
      ['w.right.v', 4 * K * I],
      ['w.left.m', 4 * O * K],
      ['w.left.v', 4 * O * K],
    ]);
    for (const { name, type, role } of slots) {
      if (role === 'workspace') continue;
      expect(elements(type.shape), name).toBeLessThan(O * I);
    }
  }
});

/** AdamW as its documentation writes it. */
function denseAdamw(
  start: Matrix,
  gradients: readonly Matrix[],
  { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01 }: AdamWSettings,
): Matrix {
  const { rows, cols } = start;
  const p = Float64Array.from(start.data);
  const [m, v] = [new Float64Array(p.length), new Float64Array(p.length)];
  for (const [index, { data }] of gradients.entries()) {
    const t = index + 1;
    for (let i = 0; i < p.length; i++) {
      m[i] = beta1 * m[i] + (1 - beta1) * data[i];
      v[i] = beta2 * v[i] + (1 - beta2) * data[i] ** 2;
      const quotient = m[i] / (1 - beta1 ** t) / (Math.sqrt(v[i] / (1 - beta2 ** t)) + eps);
      p[i] -= RATE * (weightDecay * p[i] + quotient);
    }
  }
  return matrix(rows, cols, p);
}

/** A gradient of which only the sides are read. */
function gradientOf(d: Matrix): Gradient {
  return { whole: d, p: d, q: d };
}

function signs({ rows, cols, data }: Matrix): Matrix {
  return matrix(rows, cols, Float64Array.from(data, Math.sign));
}

/** (I − LLᵀ) z */
function withoutSpan(left: Matrix, z: Matrix): Matrix {
  return combined(1, z, -1, product(left, transposed(left), z));
}

/** chol(R Rᵀ)⁻ᵀ R: Gram and Schmidt on the rows of R, from the first one. */
function orthonormalRows(right: Matrix): Matrix {
  return transposed(orthonormal(transposed(right)));
}
