/**
 * Factors of a weight's change by themselves: one linear with x and dy from outside, in float64, against
 * formulas with the whole gradient G, and against the numbers of a worked example.
 *
 * The example: x [5,6], W [6,4], U [6,2], V [4,2], t [5,4] filled by `det`; L = ½‖xW − t‖². Our linear is
 * y = x Wᵀ, so its weight is the example's transposed, u its Vᵀ and v its Uᵀ.
 */
import { describe, expect, it } from 'vitest';
import type { Executor, ExecutorKind } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import type { TrainGraph } from '../src/ir/graph.js';
import { f32 } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import {
  drawnFactors,
  factorGradients,
  factorRule,
  factorsOf,
  type Moments,
} from '../src/methods/gradient-factors.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { OPS } from '../src/ops/index.js';
import { adamw } from '../src/optim/adamw.js';
import { applyUpdates } from '../src/optim/apply.js';
import type { Optimizer } from '../src/optim/optimizer.js';
import { sgd } from '../src/optim/sgd.js';
import { prune } from '../src/passes/prune.js';
import { plan } from '../src/plan/plan.js';
import {
  combined,
  decomposed,
  diagonal,
  distance,
  matrix,
  norm,
  orthonormal,
  product,
  randomMatrix,
  transposed,
  type Matrix,
} from './dense.js';
import { EXECUTORS } from './executors.js';
import { expectClose } from './golden.js';

const EXACT = { relative: 1e-12, absolute: 1e-15 };

interface Sizes {
  readonly B: number;
  readonly O: number;
  readonly I: number;
  readonly r: number;
}

const EXAMPLE: Sizes = { B: 5, O: 4, I: 6, r: 2 };

/** ((37 i + 11 s) mod 97) / 97 − 0.5, row by row. */
function det(rows: number, cols: number, s: number): Matrix {
  const data = Array.from({ length: rows * cols }, (_, i) => ((37 * i + 11 * s) % 97) / 97 - 0.5);
  return matrix(rows, cols, data);
}

const example = {
  x: det(5, 6, 1),
  w: transposed(det(6, 4, 2)),
  v: transposed(det(6, 2, 3)),
  u: transposed(det(4, 2, 4)),
  t: det(5, 4, 5),
};

/** xWᵀ − t */
function residual(w: Matrix): Matrix {
  return combined(1, product(example.x, transposed(w)), -1, example.t);
}

function loss(w: Matrix): number {
  return 0.5 * norm(residual(w)) ** 2;
}

/** One linear whose x and dy come from outside; entry `draw` draws its factors. */
class Linear {
  private readonly executor: Executor;
  private readonly sizes: Sizes;
  private readonly optimizer: Optimizer;
  private steps = 0;

  private constructor(executor: Executor, sizes: Sizes, optimizer: Optimizer) {
    this.executor = executor;
    this.sizes = sizes;
    this.optimizer = optimizer;
  }

  static async load(
    sizes: Sizes,
    optimizer: Optimizer,
    moments: Moments = 'keep',
    kind: ExecutorKind = referenceExecutor,
  ): Promise<Linear> {
    const { B, O, I, r } = sizes;
    const of = { weight: 'w', outputs: O, inputs: I, rank: r };
    const builder = new GraphBuilder();
    builder.parameter('w', f32(O, I), { initial: { kind: 'zeros' } });
    const [x, dy] = [builder.input('x', f32(1, B, I)), builder.input('dy', f32(1, B, O))];
    const { u, v } = factorGradients(builder, factorsOf(builder, of), x, dy);
    const graph = builder.build({ du: u, dv: v });
    const parts = { u: u.id, v: v.id };
    const train: TrainGraph = { graph, gradients: new Map([['w', { kind: 'parts', parts }]]) };
    const rules = { rule: () => factorRule(r, moments), rate: () => null };
    const step = prune(applyUpdates(train, { optimizer, clipNorm: null, rules }));
    const draw = prune(drawnFactors([of], optimizer, moments));
    for (const each of [step, draw]) verify(each, OPS);
    const entries = [
      { name: 'step', graph: step },
      { name: 'draw', graph: draw },
    ];
    return new Linear(await kind.load(plan(entries), { threads: 2 }), sizes, optimizer);
  }

  write(contents: { readonly w?: Matrix; readonly u?: Matrix; readonly v?: Matrix }): void {
    const names = { w: 'w', u: 'w.factors.u', v: 'w.factors.v' } as const;
    for (const key of ['w', 'u', 'v'] as const) {
      const given = contents[key];
      if (given) this.executor.write(names[key], given.data);
    }
  }

  async draw(seed: number, count: number): Promise<void> {
    this.executor.write('draw.seed', Int32Array.of(seed));
    this.executor.write('draw.count', Int32Array.of(count));
    await this.executor.run('draw');
  }

  /** One update; returns dL/du and dL/dv. */
  async step(x: Matrix, dy: Matrix, rate: number): Promise<{ du: Matrix; dv: Matrix }> {
    const { O, I, r } = this.sizes;
    const used = this.executor.program.entries[0].inputs;
    this.executor.write('step.x', x.data);
    this.executor.write('step.dy', dy.data);
    for (const [name, data] of Object.entries(this.optimizer.scalars(++this.steps, rate))) {
      if (name in used) this.executor.write(`step.${name}`, data);
    }
    await this.executor.run('step');
    return {
      du: matrix(r, O, await this.executor.read('step.du')),
      dv: matrix(r, I, await this.executor.read('step.dv')),
    };
  }

  async state(): Promise<{ w: Matrix; u: Matrix; v: Matrix }> {
    const { O, I, r } = this.sizes;
    return {
      w: matrix(O, I, await this.executor.read('w')),
      u: matrix(r, O, await this.executor.read('w.factors.u')),
      v: matrix(r, I, await this.executor.read('w.factors.v')),
    };
  }
}

describe('the worked example', () => {
  const { x, w, u, v } = example;
  const dy = residual(w);
  const G = product(transposed(dy), x); // [O, I]

  it('has the gradient of the example', () => {
    const { values } = decomposed(G, 4);
    expectClose(
      values,
      [0.7382326, 0.45346973, 0.28955771, 0.17172444],
      { relative: 1e-7, absolute: 0 },
      'singular values',
    );
    expect(Math.hypot(values[2], values[3]) / norm(G)).toBeCloseTo(0.36218671, 7);
    expect(loss(w)).toBeCloseTo(0.9280455313423361, 13);
  });

  it('has the gradients of the factors, G never formed: dL/du = v Gᵀ, dL/dv = u G', async () => {
    const linear = await Linear.load(EXAMPLE, sgd());
    linear.write({ w, u, v });
    const { du, dv } = await linear.step(x, dy, 0.01);
    expectClose(du.data, product(v, transposed(G)).data, EXACT, 'du');
    expectClose(dv.data, product(u, G).data, EXACT, 'dv');
  });

  it('folds one step of sgd into the weight', async () => {
    const linear = await Linear.load(EXAMPLE, sgd());
    linear.write({ w, u, v });
    await linear.step(x, dy, 0.01);
    const after = await linear.state();
    // A row of the example's W is a column of ours.
    const column = [0, 1, 2, 3].map((o) => after.w.data[o * 6]);
    const known = [-0.27421848, 0.10782645, 0.490598, -0.12859613];
    expectClose(column, known, { relative: 0, absolute: 5e-9 }, 'row 0');
    expect(loss(after.w)).toBeCloseTo(0.9263097295708361, 12);
  });

  it.each([1e-2, 1e-3, 1e-4])(
    'is −η(uᵀuG + Gvᵀv) but for η² (dL/du)ᵀ dL/dv, at η = %d',
    async (rate) => {
      const linear = await Linear.load(EXAMPLE, sgd());
      linear.write({ w, u, v });
      const { du, dv } = await linear.step(x, dy, rate);
      const after = await linear.state();
      const first = combined(
        -rate,
        product(transposed(u), u, G),
        -rate,
        product(G, transposed(v), v),
      );
      const rest = combined(1, combined(1, after.w, -1, w), -1, first);
      const remainder = rest.data.map((each) => each / rate ** 2);
      const largest = Math.max(...remainder.map(Math.abs));
      expect(Math.abs(largest - 0.027622452)).toBeLessThan(1e-16 / rate ** 2 + 5e-9);
      const bound = { relative: 1e-9, absolute: 1e-15 / rate ** 2 };
      expectClose(remainder, product(transposed(du), dv).data, bound, 'remainder');
    },
  );

  it('is the whole step of sgd where u is zero and v square and orthonormal', async () => {
    const sizes = { ...EXAMPLE, r: 6 };
    const linear = await Linear.load(sizes, sgd());
    const basis = orthonormal(randomMatrix(6, 6, 'basis'));
    linear.write({ w, u: matrix(6, 4, new Float64Array(24)), v: basis });
    await linear.step(x, dy, 0.01);
    const after = await linear.state();
    expectClose(after.w.data, combined(1, w, -0.01, G).data, EXACT, 'w');
  });
});

/** The method with matrices: W + uᵀv − u₀ᵀv₀ under AdamW on u and v, which `draw` resets. */
class ByHand {
  w: Matrix;
  u: Matrix;
  v: Matrix;
  private moments = [0, 1].map(() => ({ m: new Float64Array(0), v: new Float64Array(0) }));
  private sinceReset = 0;
  private readonly beta1 = 0.8;
  private readonly beta2 = 0.95;
  private readonly eps = 1e-8;
  private readonly weightDecay = 0.1;

  constructor(w: Matrix, u: Matrix, v: Matrix) {
    this.w = w;
    [this.u, this.v] = [u, v];
    this.reset(u, v);
  }

  optimizer(): Optimizer {
    const { beta1, beta2, eps, weightDecay } = this;
    return adamw({ beta1, beta2, eps, weightDecay });
  }

  reset(u: Matrix, v: Matrix): void {
    [this.u, this.v] = [u, v];
    this.sinceReset = 0;
    this.moments = [u, v].map(({ data }) => ({
      m: new Float64Array(data.length),
      v: new Float64Array(data.length),
    }));
  }

  step(x: Matrix, dy: Matrix, rate: number): void {
    const G = product(transposed(dy), x);
    const [du, dv] = [product(this.v, transposed(G)), product(this.u, G)];
    this.sinceReset++;
    const before = product(transposed(this.u), this.v);
    this.u = this.moved(this.u, du, 0, rate);
    this.v = this.moved(this.v, dv, 1, rate);
    const change = combined(1, product(transposed(this.u), this.v), -1, before);
    this.w = combined(1 - rate * this.weightDecay, this.w, 1, change);
  }

  private moved(p: Matrix, grad: Matrix, which: number, rate: number): Matrix {
    const { beta1, beta2, eps, sinceReset: t } = this;
    const { m, v } = this.moments[which];
    const data = p.data.map((value, i) => {
      m[i] = beta1 * m[i] + (1 - beta1) * grad.data[i];
      v[i] = beta2 * v[i] + (1 - beta2) * grad.data[i] ** 2;
      const step = m[i] / (1 - beta1 ** t) / (Math.sqrt(v[i] / (1 - beta2 ** t)) + eps);
      return value - rate * step;
    });
    return { ...p, data };
  }
}

describe('AdamW on the factors', () => {
  const sizes = { B: 9, O: 7, I: 5, r: 3 };
  const batch = (index: number) => ({
    x: randomMatrix(9, 5, `x ${String(index)}`),
    dy: randomMatrix(9, 7, `dy ${String(index)}`),
  });

  it('is the formula, over two draws of the factors', async () => {
    const hand = new ByHand(
      randomMatrix(7, 5, 'w'),
      randomMatrix(3, 7, 'u'),
      randomMatrix(3, 5, 'v'),
    );
    const linear = await Linear.load(sizes, hand.optimizer(), 'reset');
    linear.write({ w: hand.w });
    for (let step = 0; step < 7; step++) {
      if (step % 4 === 0) {
        await linear.draw(3, step / 4);
        const { u, v } = await linear.state();
        hand.reset(u, v);
      }
      const { x, dy } = batch(step);
      await linear.step(x, dy, 0.05);
      hand.step(x, dy, 0.05);
    }
    const { w, u, v } = await linear.state();
    expectClose(u.data, hand.u.data, { relative: 1e-9, absolute: 1e-12 }, 'u');
    expectClose(v.data, hand.v.data, { relative: 1e-9, absolute: 1e-12 }, 'v');
    expectClose(w.data, hand.w.data, { relative: 1e-9, absolute: 1e-12 }, 'w');
  });

  it.each(EXECUTORS)('follows the factors to rounding over 60 steps, on $name', async (kind) => {
    const linear = await Linear.load(sizes, adamw({ weightDecay: 0 }), 'keep', kind);
    const start = randomMatrix(7, 5, 'w');
    linear.write({ w: start });
    await linear.draw(1, 0);
    const first = await linear.state();
    for (let step = 0; step < 60; step++) {
      const { x, dy } = batch(step);
      await linear.step(x, dy, 1e-2);
    }
    const last = await linear.state();
    // W's change is that of uᵀv: sixty roundings of W of order 1, no cancellation of the products.
    const change = combined(
      1,
      product(transposed(last.u), last.v),
      -1,
      product(transposed(first.u), first.v),
    );
    const error = combined(1, combined(1, last.w, -1, start), -1, change);
    expect(norm(change)).toBeGreaterThan(0.1);
    expect(norm(error)).toBeLessThan(1e-5);
  });

  it('without a reset keeps the moments: the first step goes on with them', async () => {
    const ends = await Promise.all(
      (['keep', 'reset'] as const).map(async (moments) => {
        const linear = await Linear.load(sizes, adamw(), moments);
        linear.write({ w: randomMatrix(7, 5, 'w') });
        for (const count of [0, 1]) {
          await linear.draw(1, count);
          await linear.step(batch(0).x, batch(0).dy, 0.01);
        }
        return (await linear.state()).u;
      }),
    );
    expect(distance(ends[0], ends[1])).toBeGreaterThan(1e-3);
  });
});

it('is the step of full training on average: uᵀu and vᵀv are half of the identity', async () => {
  const [draws, sizes] = [400, { B: 1, O: 7, I: 5, r: 3 }];
  const linear = await Linear.load(sizes, sgd());
  let [left, right] = [diagonal(new Array<number>(7).fill(0)), diagonal([0, 0, 0, 0, 0])];
  for (let count = 0; count < draws; count++) {
    await linear.draw(11, count);
    const { u, v } = await linear.state();
    left = combined(1, left, 1 / draws, product(transposed(u), u));
    right = combined(1, right, 1 / draws, product(transposed(v), v));
  }
  for (const mean of [left, right]) {
    const half = diagonal(new Array<number>(mean.rows).fill(0.5));
    // An element of one draw has a standard deviation of √(1/4r) or less: four and a half of the mean.
    const error = combined(1, mean, -1, half).data.map(Math.abs);
    expect(Math.max(...error)).toBeLessThan(4.5 * Math.sqrt(1 / (4 * 3 * draws)));
  }
});

it('draws factors of the said variance, others for every weight and count', async () => {
  const sizes = { B: 1, O: 300, I: 500, r: 8 };
  const linear = await Linear.load(sizes, sgd());
  await linear.draw(7, 0);
  const one = await linear.state();
  await linear.draw(7, 1);
  const two = await linear.state();
  for (const { u, v } of [one, two]) {
    // Σ of r n squares of variance 1/2r is n/2, with a standard deviation of n/2 √(0.8/(r n)).
    expect(Math.abs(norm(u) ** 2 / 150 - 1)).toBeLessThan(4 * Math.sqrt(0.8 / (8 * 300)));
    expect(Math.abs(norm(v) ** 2 / 250 - 1)).toBeLessThan(4 * Math.sqrt(0.8 / (8 * 500)));
  }
  expect(distance(two.u, one.u)).toBeGreaterThan(1);
  const gram = product(one.v, transposed(one.v));
  expect(distance(gram, diagonal(new Array<number>(8).fill(500 / 16)))).toBeLessThan(0.3);
});
