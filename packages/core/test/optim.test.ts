/**
 * The optimisers: updates by hand in float64, state, the scalars that the host computes, weight
 * decay by scope, and the errors. Agreement with PyTorch over whole models is in
 * vit-golden.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../src/errors.js';
import type { Executor, ExecutorKind } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { f32, i8 } from '../src/ir/types.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { fill } from '../src/ops/fill.js';
import { adamw, type AdamWSettings } from '../src/optim/adamw.js';
import { OPTIMIZERS } from '../src/optim/index.js';
import type { Optimizer } from '../src/optim/optimizer.js';
import { sgd, type SgdSettings } from '../src/optim/sgd.js';
import { prune } from '../src/passes/prune.js';
import { plan } from '../src/plan/plan.js';
import { Random } from '../src/random.js';
import { FAST_EXECUTORS } from './executors.js';
import { expectClose, type Tolerance } from './golden.js';
import { writeScalars } from './tiny-vit.js';

const EXACT: Tolerance = { relative: 1e-14, absolute: 1e-16 };
const START = [1, -2];
/** Gradients of three steps. */
const GRADIENTS = [
  [0.5, -1],
  [-0.25, 3],
  [2, 0],
];
const RATES = [0.1, 0.05, 0.2];

/**
 * An executor for one parameter `p` (that decays) and one `b` (that does not), with gradient
 * inputs.
 */
async function load(optimizer: Optimizer): Promise<Executor> {
  const builder = new GraphBuilder();
  const inputs = optimizer.inputs(builder);
  for (const name of ['p', 'b']) {
    const initial = { kind: 'zeros' } as const;
    const parameter = builder.parameter(name, f32(2), { initial, decay: name === 'p' });
    optimizer.update(builder, parameter, builder.input(`d${name}`, f32(2)), inputs, null);
  }
  const executor = await referenceExecutor.load(plan([{ name: 'run', graph: builder.build({}) }]));
  for (const name of ['p', 'b']) executor.write(name, Float64Array.from(START));
  return executor;
}

/** `p` and `b` after the three steps. */
async function updated(optimizer: Optimizer): Promise<readonly (readonly number[])[]> {
  const executor = await load(optimizer);
  for (const [index, gradient] of GRADIENTS.entries()) {
    for (const name of ['dp', 'db']) executor.write(`run.${name}`, Float64Array.from(gradient));
    writeScalars(executor, 'run', optimizer, index + 1, RATES[index]);
    await executor.run('run');
  }
  return [[...(await executor.read('p'))], [...(await executor.read('b'))]];
}

/** One element of `torch.optim.SGD` as its documentation writes it, dampening 0. */
function sgdByHand(element: number, settings: SgdSettings, decays: boolean): number {
  const { momentum = 0, nesterov = false, weightDecay = 0 } = settings;
  let p = START[element];
  let v = 0;
  GRADIENTS.forEach((gradient, index) => {
    const g = gradient[element] + (decays ? weightDecay * p : 0);
    v = momentum * v + g;
    p -= RATES[index] * (nesterov ? g + momentum * v : v);
  });
  return p;
}

/** One element of `torch.optim.AdamW` as its documentation writes it. */
function adamwByHand(element: number, settings: AdamWSettings, decays: boolean): number {
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01 } = settings;
  let p = START[element];
  let m = 0;
  let v = 0;
  GRADIENTS.forEach((gradient, index) => {
    const t = index + 1;
    const g = gradient[element];
    p -= decays ? RATES[index] * weightDecay * p : 0;
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    const mHat = m / (1 - beta1 ** t);
    const vHat = v / (1 - beta2 ** t);
    p -= (RATES[index] * mHat) / (Math.sqrt(vHat) + eps);
  });
  return p;
}

describe('sgd', () => {
  it.each<SgdSettings>([
    {},
    { momentum: 0.9 },
    { momentum: 0.9, nesterov: true },
    { weightDecay: 0.1 },
    { momentum: 0.5, nesterov: true, weightDecay: 0.1 },
    { momentum: 0.5, weightDecay: 0.1, decay: 'all' },
  ])('%o', async (settings) => {
    const [p, b] = await updated(sgd(settings));
    const all = settings.decay === 'all';
    expectClose(
      p,
      [0, 1].map((i) => sgdByHand(i, settings, true)),
      EXACT,
      'p',
    );
    expectClose(
      b,
      [0, 1].map((i) => sgdByHand(i, settings, all)),
      EXACT,
      'b',
    );
  });

  it('keeps a velocity with momentum and nothing without', async () => {
    expect(sgd().stateTensors).toBe(0);
    expect(sgd({ momentum: 0.9 }).stateTensors).toBe(1);
    expect(states(await load(sgd()))).toEqual([]);
    expect(states(await load(sgd({ momentum: 0.9 })))).toEqual(['p.velocity', 'b.velocity']);
  });
});

describe('sgd with momentum in 8 bits', () => {
  const COUNT = 200;
  const RULES: readonly SgdSettings[] = [
    { momentum: 0.9 },
    { momentum: 0.9, nesterov: true, weightDecay: 0.1 },
  ];

  /** A parameter of three groups and a part of one, after 60 steps down a bowl with noise. */
  async function trained(kind: ExecutorKind, settings: SgdSettings): Promise<Float64Array> {
    const optimizer = sgd(settings);
    const builder = new GraphBuilder();
    const p = builder.parameter('p', f32(COUNT), { initial: { kind: 'zeros' } });
    const inputs = optimizer.inputs(builder);
    optimizer.update(builder, p, builder.input('dp', f32(COUNT)), inputs, null);
    const executor = await kind.load(plan([{ name: 'run', graph: builder.build({}) }]));
    const random = Random.of(7, 'bowl');
    const start = random.fillNormal(new Float64Array(COUNT));
    executor.write('p', start);
    for (let step = 1; step <= 60; step++) {
      const at = await executor.read('p');
      const noise = random.fillNormal(new Float64Array(COUNT));
      // Curvatures over two decades, so that velocities of one group differ as much.
      const slope = (x: number, i: number) => x * 10 ** (-(i % 5) / 2) + 0.01 * noise[i];
      executor.write('run.dp', Float64Array.from(at, slope));
      writeScalars(executor, 'run', optimizer, step, 0.05);
      await executor.run('run');
    }
    return Float64Array.from(await executor.read('p'));
  }

  it.each(RULES)('goes where 32 bits go: %o', async (settings) => {
    const want = await trained(referenceExecutor, settings);
    const got = await trained(referenceExecutor, { ...settings, momentumBits: 8 });
    const off = Math.hypot(...got.map((x, i) => x - want[i]));
    expect(off).toBeGreaterThan(0);
    // Of the way from a start of that length.
    expect(off / Math.sqrt(COUNT)).toBeLessThan(0.01);
  });

  it.each(FAST_EXECUTORS)('on $name', async (kind) => {
    const settings = { momentum: 0.9, momentumBits: 8 } as const;
    const want = await trained(referenceExecutor, settings);
    const off = (await trained(kind, settings)).map((x, i) => x - want[i]);
    // A code near the middle of two may round either way.
    expect(Math.hypot(...off) / Math.hypot(...want)).toBeLessThan(1e-3);
  });

  it('keeps a byte for each element and a number for each group', async () => {
    const executor = await load(sgd({ momentum: 0.9, momentumBits: 8 }));
    const kept = executor.program.slots.filter(({ role }) => role === 'state');
    expect(kept.map(({ name, type }) => [name, type])).toEqual([
      ['p.velocity', i8(2)],
      ['p.velocity.magnitude', f32(1)],
      ['b.velocity', i8(2)],
      ['b.velocity.magnitude', f32(1)],
    ]);
  });

  it('needs momentum, and 8 or 32 bits', () => {
    expect(() => sgd({ momentumBits: 8 })).toThrow('expected momentum > 0 with 8 bits, got 0');
    const settings: object = { momentum: 0.9, momentumBits: 4 };
    expect(() => sgd(settings)).toThrow('optimizer momentumBits: expected 8 or 32, got 4');
  });

  it('says so in its settings, where it is not the default', () => {
    expect(sgd({ momentum: 0.9, momentumBits: 8 }).settings).toHaveProperty('momentumBits', 8);
    expect(sgd({ momentum: 0.9 }).settings).not.toHaveProperty('momentumBits');
  });
});

describe('adamw', () => {
  it.each<AdamWSettings>([
    {},
    { beta1: 0, beta2: 0.5 },
    { weightDecay: 0.2, eps: 0.1 },
    { weightDecay: 0.2, decay: 'all' },
  ])('%o', async (settings) => {
    const [p, b] = await updated(adamw(settings));
    const all = settings.decay === 'all';
    expectClose(
      p,
      [0, 1].map((i) => adamwByHand(i, settings, true)),
      EXACT,
      'p',
    );
    expectClose(
      b,
      [0, 1].map((i) => adamwByHand(i, settings, all)),
      EXACT,
      'b',
    );
  });

  it('keeps m and v', async () => {
    expect(adamw().stateTensors).toBe(2);
    expect(states(await load(adamw()))).toEqual(['p.m', 'p.v', 'b.m', 'b.v']);
  });

  it('corrects the bias by the step number, from 1', () => {
    const { correction, lr } = adamw({ beta1: 0.5, beta2: 0.75 }).scalars(2, 0.3);
    expectClose(correction, [1 / 0.75, 1 / Math.sqrt(1 - 0.5625)], EXACT, 'correction');
    expect([...lr]).toEqual([0.3]);
  });
});

describe('a reset while training goes on', () => {
  const settings = { beta1: 0.8, beta2: 0.95, weightDecay: 0.1 };
  it.each([
    ['sgd', sgd(), (i: number) => sgdByHand(i, {}, true)],
    ['momentum', sgd({ momentum: 0.9 }), (i: number) => sgdByHand(i, { momentum: 0.9 }, true)],
    ['adamw', adamw(settings), (i: number) => adamwByHand(i, settings, true)],
  ])('%s goes on as a new run does', async (_name, optimizer, byHand) => {
    const executor = await loadResettable(optimizer);
    // Two steps that must leave no trace.
    for (const [step, gradient] of [1, 2].entries()) {
      await resettableStep(executor, optimizer, step + 1, 0.3, [gradient, -gradient]);
    }
    executor.write('p', Float64Array.from(START));
    await executor.run('reset');
    for (const [index, gradient] of GRADIENTS.entries()) {
      await resettableStep(executor, optimizer, index + 3, RATES[index], gradient);
    }
    expectClose(await executor.read('p'), [0, 1].map(byHand), EXACT, 'p');
  });

  it('decays what a velocity would sum up to', () => {
    const builder = new GraphBuilder();
    const initial = { kind: 'zeros' } as const;
    const p = builder.parameter('p', f32(2), { initial });
    const b = builder.parameter('b', f32(2), { initial, decay: false });
    expect(adamw({ weightDecay: 0.2 }).decay(p)).toBe(0.2);
    expect(sgd({ weightDecay: 0.2 }).decay(p)).toBe(0.2);
    expect(sgd({ weightDecay: 0.25, momentum: 0.5 }).decay(p)).toBe(0.5);
    expect(sgd({ weightDecay: 0.2 }).decay(b)).toBe(0);
  });
});

/** An executor for one parameter `p`, whose states the entry `reset` resets. */
async function loadResettable(optimizer: Optimizer): Promise<Executor> {
  const declare = (builder: GraphBuilder) =>
    builder.parameter('p', f32(2), { initial: { kind: 'zeros' } });
  const run = new GraphBuilder();
  const p = declare(run);
  const inputs = optimizer.inputsSinceReset(run, 'group', optimizer.inputs(run));
  optimizer.update(run, p, run.input('dp', f32(2)), inputs, null);
  const reset = new GraphBuilder();
  optimizer.reset(reset, 'group', [declare(reset)]);
  // An optimiser without states has nothing to reset, and an entry needs a step.
  reset.emit(fill, { x: reset.state('other', f32()) }, { value: 0 });
  const entries = [
    { name: 'run', graph: run.build({}) },
    { name: 'reset', graph: prune(reset.build({})) },
  ];
  const executor = await referenceExecutor.load(plan(entries));
  executor.write('p', Float64Array.from(START));
  return executor;
}

async function resettableStep(
  executor: Executor,
  optimizer: Optimizer,
  step: number,
  rate: number,
  gradient: readonly number[],
): Promise<void> {
  const used = executor.program.entries.find(({ name }) => name === 'run')?.inputs ?? {};
  executor.write('run.dp', Float64Array.from(gradient));
  for (const [name, data] of Object.entries(optimizer.scalars(step, rate))) {
    if (name in used) executor.write(`run.${name}`, data);
  }
  await executor.run('run');
}

it('saves its settings in full', () => {
  expect(OPTIMIZERS.sgd().settings).toEqual({
    momentum: 0,
    nesterov: false,
    weightDecay: 0,
    decay: 'matrices',
  });
  expect(OPTIMIZERS.adamw({ weightDecay: 0.05 }).settings).toEqual({
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weightDecay: 0.05,
    decay: 'matrices',
  });
  for (const [name, optimizer] of Object.entries(OPTIMIZERS)) expect(optimizer().name).toBe(name);
});

it.each<readonly [() => unknown, string]>([
  [() => sgd({ momentum: 1 }), 'momentum: expected a number in [0, 1), got 1'],
  [() => sgd({ momentum: -0.1 }), 'momentum: expected a number in [0, 1), got -0.1'],
  [() => sgd({ weightDecay: Infinity }), 'weightDecay: expected a number ≥ 0, got Infinity'],
  [() => adamw({ eps: Infinity }), 'eps: expected a number > 0, got Infinity'],
  [() => sgd({ weightDecay: -1 }), 'weightDecay: expected a number ≥ 0, got -1'],
  [() => sgd({ nesterov: true }), 'nesterov: expected momentum > 0 with Nesterov, got 0'],
  [() => adamw({ beta1: 1 }), 'beta1: expected a number in [0, 1), got 1'],
  [() => adamw({ beta2: NaN }), 'beta2: expected a number in [0, 1), got NaN'],
  [() => adamw({ eps: 0 }), 'eps: expected a number > 0, got 0'],
  [() => adamw({ weightDecay: NaN }), 'weightDecay: expected a number ≥ 0, got NaN'],
])('refuses bad settings: %s', (build, message) => {
  expect(build).toThrow(ConfigError);
  expect(build).toThrow(`optimizer ${message}. Change the option.`);
});

function states(executor: Executor): readonly string[] {
  return executor.program.slots.filter((slot) => slot.role === 'state').map((slot) => slot.name);
}
