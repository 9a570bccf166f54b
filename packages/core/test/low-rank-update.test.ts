/**
 * The update of a weight in low-rank form: against the same step on dense matrices, its norm, its states, its
 * orthonormality over hundreds of float32 steps, its memory.
 *
 * Legend: W = L R, L [O, K], R [K, I], D = dL/dW, η learning rate, λ weight decay.
 */
import { describe, expect, it } from 'vitest';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { bytesOf, elements } from '../src/ir/types.js';
import { sgd } from '../src/optim/sgd.js';
import type { Program } from '../src/program.js';
import {
  combined,
  distance,
  inverse,
  norm,
  orthonormal,
  product,
  skew,
  transposed,
  type Matrix,
} from './dense.js';
import { FAST_EXECUTORS } from './executors.js';
import {
  gradientAt,
  load,
  microProgram,
  program,
  whole,
  type Sizes,
  type State,
} from './low-rank-pair.js';

const SIZES: Sizes = { O: 13, I: 11, K: 4, r: 3 };
const TALL: Sizes = { O: 13, I: 5, K: 5, r: 3 };
const WIDE: Sizes = { O: 5, I: 13, K: 5, r: 3 };

describe('a product', () => {
  it.each([
    { title: 'plain', rule: {} },
    { title: 'weight decay', rule: { weightDecay: 0.3 } },
    { title: 'clipped', rule: { weightDecay: 0.3 }, clip: 0.7 },
  ])('is one warm subspace iteration on W − ηD, in float64: $title', async ({ rule, clip }) => {
    const optimizer = sgd(rule);
    const pair = await load(referenceExecutor, program(SIZES, 'product', optimizer, clip), SIZES);
    for (let step = 0; step < 4; step++) {
      const before = await pair.state();
      const d = gradientAt(SIZES, step);
      const scale = clip === undefined ? 1 : Math.min(1, clip / (norm(d.whole) + 1e-6));
      await pair.step(d, RATE);
      const keep = 1 - RATE * (rule.weightDecay ?? 0);
      const target = combined(keep, whole(before), -RATE * scale, d.whole);
      const left = orthonormal(product(target, transposed(target), before.left));
      const after = await pair.state();
      const span = product(left, transposed(left));
      expect(distance(product(after.left, transposed(after.left)), span)).toBeLessThan(1e-12);
      expect(distance(whole(after), product(span, target))).toBeLessThan(1e-12);
      expect(skew(after.left)).toBeLessThan(1e-13);
    }
  });

  it('moves L and R by O(η): no column flips or swaps', async () => {
    const pair = await load(referenceExecutor, program(SIZES, 'product', sgd()), SIZES);
    const before = await pair.state();
    await pair.step(gradientAt(SIZES, 0), 1e-7);
    const after = await pair.state();
    expect(distance(after.left, before.left)).toBeLessThan(1e-5);
    expect(distance(after.right, before.right)).toBeLessThan(1e-5);
  });
});

describe('the sides', () => {
  it.each([SIZES, TALL, WIDE])('are a step along the tangent, in float64: %o', async (sizes) => {
    const pair = await load(
      referenceExecutor,
      program(sizes, 'sides', sgd({ weightDecay: 0.3 })),
      sizes,
    );
    for (let step = 0; step < 4; step++) {
      const before = await pair.state();
      const d = gradientAt(sizes, step);
      await pair.step(d, RATE);
      const tangent = onTangent(before, d.whole);
      const inside = combined(
        1 - RATE * 0.3,
        before.right,
        -RATE,
        product(transposed(before.left), d.whole),
      );
      // What of the target lies on the rows of R', which the step keeps.
      const target = combined(1 - RATE * 0.3, whole(before), -RATE, tangent);
      const want = product(target, rowProjection(inside));
      const after = await pair.state();
      expect(distance(whole(after), want)).toBeLessThan(1e-11);
      expect(skew(after.left)).toBeLessThan(1e-13);
    }
  });

  it.each([
    { title: 'K = I', sizes: TALL },
    { title: 'K = O', sizes: WIDE },
  ])('are the dense step at full rank: $title', async ({ sizes }) => {
    const pair = await load(referenceExecutor, program(sizes, 'sides', sgd()), sizes);
    let dense = whole(await pair.state());
    for (let step = 0; step < 4; step++) {
      const d = gradientAt(sizes, step);
      await pair.step(d, RATE);
      dense = combined(1, dense, -RATE, d.whole);
      expect(distance(whole(await pair.state()), dense)).toBeLessThan(1e-12);
    }
  });

  it('differ from the product by O(η²)', async () => {
    const gap = async (rate: number) => {
      const [a, b] = await Promise.all(
        (['product', 'sides'] as const).map(async (known) => {
          const pair = await load(referenceExecutor, program(SIZES, known, sgd()), SIZES);
          await pair.step(gradientAt(SIZES, 0), rate);
          return whole(await pair.state());
        }),
      );
      return distance(a, b);
    };
    const ratio = (await gap(1e-2)) / (await gap(1e-3));
    expect(ratio).toBeGreaterThan(80);
    expect(ratio).toBeLessThan(120);
  });
});

describe('momentum', () => {
  const RULES = [
    { momentum: 0.9 },
    { momentum: 0.9, nesterov: true },
    { momentum: 0.5, nesterov: true, weightDecay: 0.2 },
  ];

  // With K = O the span of L is everything, and the velocity of R is that of W in the basis L.
  it.each(RULES)('is that of dense SGD at K = O: %o', async (rule) => {
    for (const known of ['product', 'sides'] as const) {
      const pair = await load(referenceExecutor, program(WIDE, known, sgd(rule)), WIDE);
      const want = denseMomentum(whole(await pair.state()), rule, WIDE, 6, RATE);
      for (let step = 0; step < 6; step++) await pair.step(gradientAt(WIDE, step), RATE);
      expect(distance(whole(await pair.state()), want)).toBeLessThan(1e-12);
    }
  });

  it('in 8 bits goes where 32 bits go', async () => {
    for (const known of ['product', 'sides'] as const) {
      const ends = await Promise.all(
        ([8, 32] as const).map(async (momentumBits) => {
          const rule = sgd({ momentum: 0.9, momentumBits });
          const pair = await load(referenceExecutor, program(SIZES, known, rule), SIZES);
          const start = whole(await pair.state());
          for (let step = 0; step < 10; step++) await pair.step(gradientAt(SIZES, step), RATE);
          return { start, end: whole(await pair.state()) };
        }),
      );
      const [coarse, fine] = ends;
      const off = norm(combined(1, coarse.end, -1, fine.end));
      expect(off).toBeGreaterThan(0);
      expect(off / norm(combined(1, fine.end, -1, fine.start))).toBeLessThan(0.03);
    }
  });

  // With K = I the bases turn by O(η) in a step, so the velocities' error is O(η) of what they add.
  it.each(RULES)('is that of dense SGD to first order at K = I: %o', async (rule) => {
    const gap = async (rate: number) => {
      const pair = await load(referenceExecutor, program(TALL, 'sides', sgd(rule)), TALL);
      const start = whole(await pair.state());
      const want = denseMomentum(start, rule, TALL, 6, rate);
      for (let step = 0; step < 6; step++) await pair.step(gradientAt(TALL, step), rate);
      return (
        norm(combined(1, whole(await pair.state()), -1, want)) / norm(combined(1, start, -1, want))
      );
    };
    const [large, small] = [await gap(1e-3), await gap(1e-4)];
    expect(large).toBeLessThan(0.05);
    expect(large / small).toBeGreaterThan(8);
    expect(large / small).toBeLessThan(12);
  });
});

it.each(['product', 'sides'] as const)('measures the norm of %s for clipping', async (known) => {
  const { executor, state, step } = await load(
    referenceExecutor,
    program(SIZES, known, sgd({ momentum: 0.9 }), 0.1),
    SIZES,
  );
  const before = await state();
  const d = gradientAt(SIZES, 0);
  await step(d, RATE);
  const want = known === 'product' ? d.whole : onTangent(before, d.whole);
  const [squared] = await executor.read('step.squaredGradientNorm');
  expect(Math.abs(squared / norm(want) ** 2 - 1)).toBeLessThan(1e-12);
  expect(norm(onTangent(before, d.whole))).toBeLessThan(norm(d.whole));
});

it('sums micro-batches on the sides: two halves are the whole', async () => {
  const optimizer = sgd({ weightDecay: 0.1 });
  for (const known of ['product', 'sides'] as const) {
    const once = await load(referenceExecutor, program(SIZES, 'sides', optimizer), SIZES);
    const twice = await load(referenceExecutor, microProgram(SIZES, known, optimizer), SIZES);
    for (let round = 0; round < 2; round++) {
      const [a, b] = [gradientAt(SIZES, 2 * round), gradientAt(SIZES, 2 * round + 1)];
      const sum = combined(1, a.whole, 1, b.whole);
      await once.step({ whole: sum, p: a.p, q: a.q }, RATE);
      for (const half of [a, b]) await twice.write('micro', half);
      twice.executor.write('apply.lr', Float64Array.of(RATE));
      await twice.executor.run('apply');
      const [want, got] = [await once.state(), await twice.state()];
      expect(distance(got.left, want.left)).toBeLessThan(1e-12);
      expect(distance(got.right, want.right)).toBeLessThan(1e-12);
    }
  }
});

describe.each(FAST_EXECUTORS)('on $name', (kind) => {
  it.each([
    { known: 'product', rule: {} },
    { known: 'sides', rule: {} },
    { known: 'product', rule: { momentum: 0.9, nesterov: true, weightDecay: 0.1 } },
  ] as const)('agrees with the reference: $known, $rule', async ({ known, rule }) => {
    const sizes = { O: 70, I: 45, K: 19, r: 6 };
    const compiled = program(sizes, known, sgd(rule), 5);
    const [want, got] = await Promise.all(
      [referenceExecutor, kind].map(async (on) => {
        const pair = await load(on, compiled, sizes);
        for (let step = 0; step < 5; step++) await pair.step(gradientAt(sizes, step), RATE);
        return pair.state();
      }),
    );
    // Rounding of float32 products, amplified by the condition of RRᵀ, 10² here.
    expect(distance(whole(got), whole(want))).toBeLessThan(3e-6);
  });

  it('has the same bits on 1, 2 and 4 threads', async () => {
    const sizes = { O: 150, I: 70, K: 40, r: 9 };
    const runs = [1, 2, 4].map(async (threads) => {
      const compiled = program(sizes, 'product', sgd(), 5);
      const pair = await load(kind, compiled, sizes, { threads });
      for (let step = 0; step < 3; step++) await pair.step(gradientAt(sizes, step), RATE);
      return pair.state();
    });
    const [one, two, four] = await Promise.all(runs);
    expect(two).toEqual(one);
    expect(four).toEqual(one);
  });

  // R with singular values from 1 down to 1/condition; D has length 1 in each step.
  it.each([
    { rate: 1e-6, condition: 10 },
    { rate: 0.3, condition: 10 },
    { rate: 1e-6, condition: 1e5 },
    { rate: 0.03, condition: 1e3 },
    { rate: 0.3, condition: 1e3 },
  ])('keeps L orthonormal over 300 steps: $rate, $condition', async ({ rate, condition }) => {
    const sizes = { O: 40, I: 28, K: 12, r: 5 };
    for (const known of ['product', 'sides'] as const) {
      const pair = await load(kind, program(sizes, known, sgd({ weightDecay: rate })), sizes, {
        condition,
      });
      for (let step = 0; step < 300; step++) {
        const d = gradientAt(sizes, step % 50);
        const length = norm(d.whole);
        await pair.step(
          {
            whole: combined(1 / length, d.whole, 0, d.whole),
            p: combined(1 / length, d.p, 0, d.p),
            q: d.q,
          },
          rate,
        );
        if (step % 10 === 0)
          if (step % 10 === 0) expect(skew((await pair.state()).left)).toBeLessThan(1e-5);
      }
      const { left, right } = await pair.state();
      expect(skew(left)).toBeLessThan(1e-5);
      expect(norm(right)).toBeGreaterThan(0.01);
    }
  });
});

describe('memory', () => {
  // No two of O, I, K, r and their products agree with O·I = 899 or come above it.
  const sizes: Sizes = { O: 31, I: 29, K: 11, r: 7 };
  const compiled = [
    program(sizes, 'product', sgd()),
    program(sizes, 'sides', sgd()),
    program(sizes, 'product', sgd(), 1),
    program(sizes, 'sides', sgd(), 1),
    program(sizes, 'product', sgd({ momentum: 0.9, nesterov: true }), 1),
    microProgram(sizes, 'product', sgd({ momentum: 0.9 })),
  ];

  it('never holds an O×I array', () => {
    for (const { slots } of compiled) {
      for (const { name, type, role } of slots) {
        // The workspace of a factorisation is K×K in float64, padded to blocks of 16.
        if (role === 'workspace') continue;
        expect(elements(type.shape), name).toBeLessThan(sizes.O * sizes.I);
      }
    }
  });

  it('holds one O×K or K×I array at a time besides the gradient', () => {
    const large = sizes.K * Math.max(sizes.O, sizes.I);
    const { arenaBytes, persistentBytes } = program(sizes, 'product', sgd());
    const gradient = sizes.r * (sizes.O + sizes.I) * 4;
    const workspace = 16 * (8 * 24 + 260);
    const small = 4 * (4 * sizes.K ** 2 + 3 * sizes.r * sizes.O);
    expect(arenaBytes - persistentBytes).toBeLessThan(4 * large + gradient + workspace + small);
  });

  it('keeps no state without momentum, K(O + I) elements with it', () => {
    const states = (program: Program) =>
      program.slots
        .filter(({ role }) => role === 'state')
        .map(({ name, type }) => [name, bytesOf(type)]);
    const { O, I, K } = sizes;
    expect(states(compiled[0])).toEqual([]);
    expect(states(compiled[4])).toEqual([
      ['w.right.velocity', 4 * K * I],
      ['w.left.velocity', 4 * O * K],
    ]);
  });
});

const RATE = 0.05;

/** Projection on the rows of `r`, [I, I]. */
function rowProjection(r: Matrix): Matrix {
  return product(transposed(r), inverse(product(r, transposed(r))), r);
}

/** D − (I − LLᵀ) D (I − Q), Q the projection on the rows of R. */
function onTangent({ left, right }: State, d: Matrix): Matrix {
  const outside = combined(1, d, -1, product(left, transposed(left), d));
  return combined(1, d, -1, combined(1, outside, -1, product(outside, rowProjection(right))));
}

function denseMomentum(
  start: Matrix,
  rule: { readonly momentum: number; readonly nesterov?: boolean; readonly weightDecay?: number },
  sizes: Sizes,
  steps: number,
  rate: number,
): Matrix {
  const { momentum, nesterov = false, weightDecay = 0 } = rule;
  let w = start;
  let v = combined(0, start, 0, start);
  for (let step = 0; step < steps; step++) {
    const g = combined(1, gradientAt(sizes, step).whole, weightDecay, w);
    v = combined(momentum, v, 1, g);
    w = combined(1, w, -rate, nesterov ? combined(1, g, momentum, v) : v);
  }
  return w;
}
