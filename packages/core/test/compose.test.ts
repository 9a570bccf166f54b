/**
 * Methods together: what trains is the intersection, what two of them claim is an error that names both, and
 * whatever else the contract offers (rules, rates, nodes behind the updates, entries) is there in full.
 */
import { describe, expect, it } from 'vitest';
import { compile, type CompileOptions } from '../src/compile.js';
import { ConfigError } from '../src/errors.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { outputValues, parameters, type Graph, type ModelGraph } from '../src/ir/graph.js';
import { compose } from '../src/methods/compose.js';
import { METHODS, parseMethod, type MethodName } from '../src/methods/index.js';
import { bind, type BoundMethod, type Method } from '../src/methods/method.js';
import { add } from '../src/ops/add.js';
import { assign } from '../src/ops/assign.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { scale } from '../src/ops/scale.js';
import { sgd } from '../src/optim/sgd.js';
import { printProgram } from '../src/program.js';
import { Session } from '../src/train/session.js';
import { fixedBatch, modelOf, SMALL, started, TINY, weightsOf } from './tiny-vit.js';

const NAMES = Object.keys(METHODS) as readonly MethodName[];
const PAIRS = NAMES.flatMap((first) => NAMES.map((second) => [first, second] as const));

const trainable = ({ graph }: ModelGraph) =>
  new Map(parameters(graph).map(({ name, source }) => [name, source.trainable]));

/** What composing and compiling two methods says; null where nothing speaks against it. */
function refusal(first: string, second: string): string | null {
  try {
    compiled({ method: parseMethod(`${first}+${second}`) });
    return null;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message;
  }
}

function compiled(options: Partial<CompileOptions>) {
  return compile({ model: modelOf(SMALL), optimizer: sgd(), batch: 3, evalBatch: 0, ...options });
}

describe('pairs of methods', () => {
  it.each(PAIRS)('%s+%s', (first, second) => {
    const said = refusal(first, second);
    if (said !== null) {
      const owners = `two, ${parseMethod(first).text} and ${parseMethod(second).text}. `;
      expect(said).toMatch(/^method .*: expected one method for /);
      expect(said).toContain(owners);
      return;
    }
    const dense = modelOf(SMALL)(3);
    const [a, b] = [first, second].map((name) => trainable(parseMethod(name).forward(dense)));
    for (const [name, trains] of trainable(parseMethod(`${first}+${second}`).forward(dense))) {
      const [alone, other] = [a.get(name), b.get(name)];
      if (alone === undefined || other === undefined) continue;
      expect(trains, name).toBe(alone && other);
    }
  });

  it.each([
    ['wsi=0.8+wasi=0.8', 'the ranks of weights'],
    ['asi=0.8+hosvd=0.8', 'the ranks of saved inputs'],
    ['lora=2+lora=4', 'the form of blocks.0.attn.qkv.weight'],
    ['lora=2+wsi=0.6', 'the form of blocks.0.attn.qkv.weight'],
  ])('refuses %s for %s', (text, what) => {
    expect(() => compiled({ method: parseMethod(text) })).toThrow(
      `expected one method for ${what}`,
    );
  });

  it('composes a method that claims nothing with itself', () => {
    const body = (text: string) =>
      printProgram(compiled({ method: parseMethod(text) })).replace(/method \S+,/, '');
    for (const text of ['full', 'head', 'last-k=2', 'bias-only']) {
      expect(body(`${text}+${text}`)).toBe(body(text));
    }
  });
});

/** A method of these parts, for what no method of the list does. */
function made(name: string, parts: Partial<Method<null>>): BoundMethod {
  const whole = { name, summary: '', usage: name, parse: () => null, print: () => name };
  return bind({ ...whole, neutral: () => null, ...parts }, null);
}

/** Weights after three updates of `method`, in so many micro-batches. */
async function after(method: BoundMethod, options: Partial<CompileOptions> = {}) {
  const optimizer = sgd({ momentum: 0.9 });
  const program = compile({
    ...{ model: modelOf(TINY), method, optimizer, batch: 3, evalBatch: 0 },
    ...options,
  });
  const model = method.forward(modelOf(TINY)(3));
  const executor = await started(referenceExecutor, program, model);
  const session = Session.of({ executor, optimizer });
  for (let pass = 0; pass < 3 * (options.microBatches ?? 1); pass++) {
    await session.add(fixedBatch(TINY, 3, pass), 0.05);
  }
  return weightsOf(executor, model);
}

const HEAD = 'head.weight';

/** The gradient of the classifier as two halves, and the rule that adds them. */
const halves = made('halves', {
  claims: () => ({ updates: [HEAD] }),
  backward: (train) => {
    const gradient = train.gradients.get(HEAD);
    if (gradient?.kind !== 'dense') throw new Error('no dense gradient');
    const builder = new GraphBuilder(train.graph);
    const x = builder.value(gradient.value);
    const parts = Object.fromEntries(
      ['one', 'two'].map((name) => [name, builder.emit(scale, { x }, { factor: 0.5 }, name).y.id]),
    );
    const gradients = new Map(train.gradients).set(HEAD, { kind: 'parts', parts });
    return { graph: builder.build(outputValues(train.graph)), gradients };
  },
  rule: ({ name }) =>
    name === HEAD
      ? {
          update: (builder, { parameter, parts, optimizer, inputs, scale: clip }) => {
            const sum = builder.emit(add, { a: parts.one, b: parts.two }, {}).y;
            optimizer.update(builder, parameter, sum, inputs, clip);
          },
        }
      : null,
});

describe('an update rule', () => {
  it('reads its parts, summed over micro-batches: two halves are the whole', async () => {
    const full = parseMethod('full');
    for (const options of [{}, { microBatches: 2 }]) {
      expect(await after(halves, options)).toEqual(await after(full, options));
    }
  });

  it('keeps an accumulator for each part', () => {
    const program = compile({
      ...{ model: modelOf(TINY), method: halves, optimizer: sgd(), batch: 3 },
      microBatches: 2,
    });
    const sums = program.slots.filter(({ name }) => name.startsWith(`${HEAD}.gradient`));
    expect(sums.map(({ name }) => name)).toEqual([`${HEAD}.gradient.one`, `${HEAD}.gradient.two`]);
  });

  it('is claimed once', () => {
    const twice = compose([halves, halves]);
    expect(() => twice.forward(modelOf(TINY)(3))).toThrow(
      'method halves+halves: expected one method for the update of head.weight, ' +
        'got two, halves and halves. Leave one of them out.',
    );
  });
});

describe('a rate group', () => {
  it('multiplies the rate of its parameters and of no others', async () => {
    const none = made('slow', {
      rate: ({ name }) => (name.startsWith('head.') ? { name: 'head', factor: 0.5 } : null),
    });
    const optimizer = sgd();
    const moved = async (method: BoundMethod, rate: number) => {
      const program = compile({ model: modelOf(TINY), method, optimizer, batch: 3 });
      const model = modelOf(TINY)(3);
      const executor = await started(referenceExecutor, program, model);
      const before = await weightsOf(executor, model);
      await Session.of({ executor, optimizer }).add(fixedBatch(TINY, 3), rate);
      const now = await weightsOf(executor, model);
      return (name: string) => now[name].map((x, i) => x - before[name][i]);
    };
    const [slow, fast] = [await moved(none, 0.5), await moved(parseMethod('full'), 0.5)];
    const half = await moved(parseMethod('full'), 0.25);
    expect(slow('norm.weight')).toEqual(fast('norm.weight'));
    expect(slow(HEAD)).toEqual(half(HEAD));
    expect(slow(HEAD)).not.toEqual(fast(HEAD));
  });
});

describe('what is behind the updates', () => {
  it('sees the new values: weights that are set to half of themselves', async () => {
    const halved = made('halved', {
      after: (graph: Graph) => {
        const builder = new GraphBuilder(graph);
        const update = graph.nodes.find(({ name }) => name === `update.${HEAD}`);
        if (!update) throw new Error('no update');
        const target = builder.value(update.outputs.paramOut);
        const value = builder.emit(scale, { x: target }, { factor: 0.5 }, 'half').y;
        builder.emit(assign, { target, value }, {}, 'halve');
        return builder.build(outputValues(graph));
      },
    });
    const optimizer = sgd();
    const once = async (method: BoundMethod, microBatches: number) => {
      const program = compile({ model: modelOf(TINY), method, optimizer, batch: 3, microBatches });
      const executor = await started(referenceExecutor, program, modelOf(TINY)(3));
      const session = Session.of({ executor, optimizer });
      for (let pass = 0; pass < microBatches; pass++) await session.add(fixedBatch(TINY, 3), 0.1);
      return executor.read(HEAD);
    };
    for (const microBatches of [1, 2]) {
      const plain = await once(parseMethod('full'), microBatches);
      expect(await once(halved, microBatches)).toEqual(plain.map((x) => x / 2));
    }
  });
});
