/**
 * low-rank-gradient on whole models: its step against the gradient of full training, bytes as closed
 * forms, draws on their cue, micro-batches, resuming, what it composes with, and its options.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { ConfigError } from '../src/errors.js';
import type { Executor, ExecutorKind } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { parameters } from '../src/ir/graph.js';
import { elements } from '../src/ir/types.js';
import { parseMethod } from '../src/methods/index.js';
import { linears } from '../src/methods/linears.js';
import { swin } from '../src/models/swin/model.js';
import { SWIN_PRESETS } from '../src/models/swin/presets.js';
import type { VitConfig } from '../src/models/vit/model.js';
import { VIT_PRESETS } from '../src/models/vit/presets.js';
import { adamw } from '../src/optim/adamw.js';
import type { Optimizer } from '../src/optim/optimizer.js';
import { sgd } from '../src/optim/sgd.js';
import type { SavedForm } from '../src/passes/saved.js';
import { accumulators, plannedBytes, type Program } from '../src/program.js';
import { Session } from '../src/train/session.js';
import { combined, matrix, norm, product, transposed, type Matrix } from './dense.js';
import { FAST_EXECUTORS } from './executors.js';
import { fixedBatch, modelOf, SMALL, started, weightsOf } from './tiny-vit.js';

const METHOD = 'low-rank-gradient=3,refresh=2,rate=1';
const LINEARS = linears(modelOf(SMALL)(1), 'all');

interface Options {
  readonly config?: VitConfig;
  readonly batch?: number;
  readonly optimizer?: Optimizer;
  readonly microBatches?: number;
  readonly clipNorm?: number;
  readonly saved?: SavedForm;
}

function programOf(method: string, options: Options = {}): Program {
  const { config = SMALL, batch = 4, optimizer = adamw(), ...rest } = options;
  const bound = parseMethod(method);
  return compile({
    model: modelOf(config),
    method: bound,
    optimizer,
    batch,
    evalBatch: 0,
    ...rest,
  });
}

/** The weights after so many updates on the fixed batch, and the losses. */
async function trained(
  method: string,
  options: Options & { readonly steps?: number; readonly kind?: ExecutorKind } = {},
) {
  const { kind = referenceExecutor, steps = 5, optimizer = adamw(), batch = 4 } = options;
  const { microBatches = 1 } = options;
  const model = parseMethod(method).forward(modelOf(SMALL)(batch));
  const executor = await started(kind, programOf(method, options), model);
  const session = Session.of({ executor, optimizer, seed: 9 });
  const whole = fixedBatch(SMALL, batch * microBatches);
  const pixels = whole.images.length / microBatches;
  const losses: number[] = [];
  for (let pass = 0; pass < steps * microBatches; pass++) {
    const part = pass % microBatches;
    const update = await session.add(
      {
        images: whole.images.slice(part * pixels, (part + 1) * pixels),
        labels: whole.labels.slice(part * batch, (part + 1) * batch),
        real: batch,
      },
      0.01,
    );
    if (update) losses.push(update.loss);
  }
  const factors = await Promise.all(LINEARS.map((linear) => factorsIn(executor, linear.weight)));
  const after = await weightsOf(executor, model);
  await executor.dispose();
  return { after, losses, factors };
}

async function factorsIn(executor: Executor, weight: string) {
  const names = new Set(executor.program.slots.map(({ name }) => name));
  const of = async (side: string) => {
    const name = `${weight}.factors.${side}`;
    return names.has(name) ? Array.from(await executor.read(name)) : [];
  };
  return { u: await of('u'), v: await of('v') };
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));
}

describe('a step of sgd', () => {
  it.each<SavedForm>(['all', 'exact'])(
    'moves every linear along the gradient of full training as its factors see it: %s',
    async (saved) => {
      const [rate, optimizer] = [0.01, sgd()];
      const model = modelOf(SMALL)(4);
      const before = await weightsOf(
        await started(referenceExecutor, programOf('full', { optimizer }), model),
        model,
      );
      const full = await trained('full', { optimizer, steps: 1, saved });
      const executor = await started(
        referenceExecutor,
        programOf(METHOD, { optimizer, saved }),
        model,
      );
      const session = Session.of({ executor, optimizer, seed: 9 });
      // The factors that the step begins with: drawn by a step that moves nothing.
      await session.add(fixedBatch(SMALL, 4), 0);
      const factors = await Promise.all(LINEARS.map(({ weight }) => factorsIn(executor, weight)));
      await session.add(fixedBatch(SMALL, 4), rate);
      const after = await weightsOf(executor, model);
      LINEARS.forEach(({ weight, outputs: O, inputs: I }, index) => {
        const w = (data: ArrayLike<number>): Matrix => matrix(O, I, Float64Array.from(data));
        const start = w(before[weight]);
        const step = combined(1, w(full.after[weight]), -1, start); // −ηG
        const [u, v] = [matrix(3, O, factors[index].u), matrix(3, I, factors[index].v)];
        const first = combined(
          1,
          product(transposed(u), u, step),
          1,
          product(step, transposed(v), v),
        );
        const second = product(transposed(product(v, transposed(step))), product(u, step));
        const want = combined(1, combined(1, start, 1, first), 1, second);
        expect(norm(step)).toBeGreaterThan(1e-6);
        const got = w(after[weight]);
        expect(norm(combined(1, got, -1, want)) / norm(step), weight).toBeLessThan(1e-9);
      });
      for (const { name } of parameters(model.graph)) {
        if (LINEARS.some(({ weight }) => weight === name)) continue;
        expect(largestDifference(after[name], full.after[name]), name).toBeLessThan(1e-14);
      }
    },
  );
});

describe('memory', () => {
  const stateElements = ({ slots }: Program) =>
    slots
      .filter(({ role }) => role === 'state')
      .reduce((sum, { type }) => sum + elements(type.shape), 0);

  it.each([
    ['sgd', sgd(), 0, 0],
    ['sgd with momentum', sgd({ momentum: 0.9 }), 1, 0],
    ['adamw', adamw(), 2, 4],
  ])('keeps r(O + I)(1 + s) elements in the place of OIs: %s', (_name, optimizer, s, counts) => {
    const full = stateElements(programOf('full', { optimizer }));
    const own = stateElements(programOf(METHOD, { optimizer }));
    const change = LINEARS.reduce(
      (sum, { outputs: O, inputs: I }) => sum + 3 * (O + I) * (1 + s) + counts - O * I * s,
      0,
    );
    expect(own - full).toBe(change);
  });

  it('has no gradient of the size of a weight of a linear', () => {
    const { slots } = programOf(METHOD);
    const shapes = new Set(LINEARS.map(({ outputs: O, inputs: I }) => `${O},${I}`));
    const large = slots.filter(
      ({ role, type }) => role !== 'parameter' && shapes.has(type.shape.join(',')),
    );
    // The new value of a weight, which is in the weight's own memory.
    const places = new Set(
      slots.filter(({ role }) => role === 'parameter').map(({ offset }) => offset),
    );
    const elsewhere = large.filter(({ offset }) => !places.has(offset));
    // The patch embedding has such a shape too, and an ordinary gradient.
    expect(elsewhere.map(({ name }) => name)).toEqual(['grad.patch_embed.proj.matmul.y']);
    expect(large.length - elsewhere.length).toBe(LINEARS.length);
  });

  it('sums micro-batches in r(O + I) elements', () => {
    const program = programOf(METHOD, { microBatches: 2 });
    const sums = accumulators(program).map((index) => program.slots[index]);
    for (const { weight, outputs: O, inputs: I } of LINEARS) {
      const own = sums.filter(({ name }) => name.startsWith(`${weight}.gradient`));
      expect(own.map(({ type }) => type.shape)).toEqual([
        [3, O],
        [3, I],
      ]);
    }
  });

  // Factors, their two moments and their gradient at r = 4: 4 · 4 Σ (O + I) over the linears of the blocks.
  it.each([
    ['vit-tiny-16', 589_824],
    ['vit-small-16', 1_179_648],
    ['vit-base-16', 2_359_296],
  ] as const)('%s: as many numbers as the closed form says, %d', (name, count) => {
    const program = programOf('low-rank-gradient=4', { config: VIT_PRESETS[name], batch: 1 });
    const own = program.slots.filter(
      ({ name: slot, role }) =>
        /\.factors\.[uv](\.[mv])?$/.test(slot) || (role === 'gradient' && /\.d[uv]\.y$/.test(slot)),
    );
    expect(own.reduce((sum, { type }) => sum + elements(type.shape), 0)).toBe(count);
  });

  it('plans less than full training under adamw, by the states less the larger batch', () => {
    const config = VIT_PRESETS['vit-tiny-16'];
    const bytes = (method: string) =>
      plannedBytes(programOf(method, { config, batch: 1, saved: 'smallest' }), 1);
    // 2 · 5.31 M numbers of moments for 0.44 M of factors and their moments.
    expect(bytes('full') - bytes('low-rank-gradient=4')).toBeGreaterThan(4 * 10_000_000);
  });
});

describe('training', () => {
  it('gives for two micro-batches what it gives for their union', async () => {
    const optimizer = adamw({ eps: 1e-4 });
    const one = await trained(METHOD, { optimizer, batch: 4 });
    const two = await trained(METHOD, { optimizer, batch: 2, microBatches: 2 });
    expect(largestDifference(two.losses, one.losses)).toBeLessThan(1e-9);
    for (const [name, data] of Object.entries(one.after)) {
      expect(largestDifference(two.after[name], data), name).toBeLessThan(1e-9);
    }
  });

  it('draws other factors every `refresh` updates, the same for the same seed', async () => {
    const [one, two, three] = await Promise.all(
      [1, 2, 3].map((steps) => trained(METHOD, { steps })),
    );
    const again = await trained(METHOD, { steps: 3 });
    LINEARS.forEach(({ weight }, index) => {
      const u = (run: typeof one) => run.factors[index].u;
      // Within a period a step of AdamW moves an element by about the rate, a draw by about 0.4.
      expect(largestDifference(u(two), u(one)), weight).toBeLessThan(0.05);
      expect(largestDifference(u(three), u(two)), weight).toBeGreaterThan(0.1);
      expect(u(again)).toEqual(u(three));
    });
    expect(again.after).toEqual(three.after);
  });

  it.each(FAST_EXECUTORS.slice(-1))(
    'has the same bits on 1, 2 and 4 threads of $name',
    async (kind) => {
      const run = async (threads: number) => {
        const load: ExecutorKind['load'] = (program) => kind.load(program, { threads });
        return trained(METHOD, { kind: { ...kind, load }, clipNorm: 0.5 });
      };
      const one = await run(1);
      for (const threads of [2, 4]) expect(await run(threads)).toEqual(one);
    },
  );

  it('goes on from a snapshot to the same bits, in the middle of a period', async () => {
    const batch = fixedBatch(SMALL, 4);
    const begin = async () => {
      const optimizer = adamw();
      const program = programOf('low-rank-gradient=3,refresh=3', { optimizer });
      const executor = await started(referenceExecutor, program, modelOf(SMALL)(4));
      return Session.of({ executor, optimizer, seed: 9 });
    };
    const [whole, other] = [await begin(), await begin()];
    for (let step = 0; step < 4; step++) await whole.add(batch, 0.01);
    await other.restore(await whole.snapshot());
    for (let step = 4; step < 8; step++) {
      expect(await other.add(batch, 0.01)).toMatchObject({
        loss: (await whole.add(batch, 0.01))?.loss,
      });
    }
    expect((await other.snapshot()).tensors).toEqual((await whole.snapshot()).tensors);
  });

  it('trains the weights of linears at a rate of their own', () => {
    expect(programOf('low-rank-gradient=2,rate=5').training?.rates).toEqual({
      'low-rank-gradient': 5,
    });
    expect(programOf('low-rank-gradient=2,refresh=7').training?.cues).toEqual({
      'draw-factors': { at: 'steps', every: 7 },
    });
  });
});

describe('composition', () => {
  it('acts on what trains only', () => {
    const names = (text: string) =>
      programOf(text)
        .slots.filter(({ name }) => /\.factors\.u$/.test(name))
        .map(({ name }) => name.replace('.factors.u', ''));
    const all = LINEARS.map(({ weight }) => weight);
    expect(names('low-rank-gradient=2').sort()).toEqual([...all].sort());
    expect(names('low-rank-gradient=2,layers=mlp').sort()).toEqual(
      all.filter((name) => name.includes('.mlp.')).sort(),
    );
    expect(names('last-k=1+low-rank-gradient=2').sort()).toEqual(
      all.filter((name) => name.startsWith('blocks.2.')).sort(),
    );
    expect(programOf('head+low-rank-gradient').training?.cues).toEqual({});
  });

  it('acts on the linears of windows as on others', () => {
    const config = SWIN_PRESETS['swin-micro'];
    const model = (batch: number) => swin(config, { batch });
    const method = parseMethod('low-rank-gradient=2');
    const program = compile({ model, method, optimizer: sgd(), batch: 2, evalBatch: 0 });
    const factored = program.slots.filter(({ name }) => name.endsWith('.factors.u'));
    expect(factored.map(({ name }) => name.replace('.factors.u', '')).sort()).toEqual(
      linears(model(1), 'all')
        .map(({ weight }) => weight)
        .sort(),
    );
  });

  it.each(['lora=2+low-rank-gradient=2', 'wsi=0.8,layers=mlp+low-rank-gradient=2'])(
    'refuses weights that are not dense: %s',
    (text) => {
      expect(() => programOf(text)).toThrow(ConfigError);
      expect(() => programOf(text)).toThrow(/Compose at most one method that changes the form/);
    },
  );

  it.each(['asi=0.5+low-rank-gradient=2', 'low-rank-gradient=2+asi=0.5'])(
    'refuses another form of the gradient: %s',
    (text) => {
      expect(() => programOf(text)).toThrow(ConfigError);
    },
  );
});

describe('options', () => {
  it('reads and prints', () => {
    expect(parseMethod('low-rank-gradient').text).toBe(
      'low-rank-gradient=4,refresh=50,layers=all,rate=1,moments=reset',
    );
    const text = 'low-rank-gradient=2,refresh=10,layers=mlp,rate=0.5,moments=keep';
    expect(parseMethod(text).text).toBe(text);
    expect(parseMethod('low-rank-gradient', { layers: 'mlp' }).text).toContain('layers=mlp');
  });

  it('leaves the rank to a budget where it was not said', () => {
    const [open] = parseMethod('low-rank-gradient').options;
    expect(open).toMatchObject({ axis: 'updates', values: [4, 2, 1] });
    expect(open.choose(1).text).toMatch(/^low-rank-gradient=1,/);
    expect(open.choose(1).options).toEqual([]);
    expect(parseMethod('low-rank-gradient=8').options).toEqual([]);
  });

  it.each([
    ['=0', 'expected a whole rank above 0, got "0"'],
    ['=1.5', 'expected a whole rank above 0, got "1.5"'],
    ['=2,refresh=0', 'expected a whole number of steps above 0, got "0"'],
    ['=2,rate=-1', 'expected a factor above 0, got "-1"'],
    ['=2,moments=half', 'expected moments=reset or moments=keep, got "half"'],
    ['=2,layers=none', 'expected layers=mlp or layers=all, got "none"'],
  ])('refuses %s', (option, message) => {
    const parse = () => parseMethod(`low-rank-gradient${option}`);
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(`method low-rank-gradient: ${message}.`);
  });

  it('refuses a rank above the smaller side', () => {
    expect(() => programOf('low-rank-gradient=13')).toThrow(
      'method low-rank-gradient, weight blocks.0.attn.qkv.weight: expected a rank of at most 12, ' +
        'the smaller side of the weight, got 13. Lower the rank.',
    );
  });
});
