/**
 * Slices against their definition: the bits of as many micro-batches, for every method, saved form and
 * optimiser, on every kind of executor. And what they are for: fewer planned bytes.
 *
 * Bits are compared by value, as −0 is 0: a sum begins with the first gradient here, with 0 + it there.
 */
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.js';
import { compile, type CompileOptions } from '../src/compile.js';
import { ConfigError } from '../src/errors.js';
import type { ExecutorKind } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import type { HostData } from '../src/ir/types.js';
import { parseMethod, type MethodName } from '../src/methods/index.js';
import type { BoundMethod } from '../src/methods/method.js';
import { adamw } from '../src/optim/adamw.js';
import type { Optimizer } from '../src/optim/optimizer.js';
import { sgd } from '../src/optim/sgd.js';
import { VIT_PRESETS } from '../src/models/vit/presets.js';
import { deferred } from '../src/passes/deferred.js';
import { saveAs, SAVED_FORMS, type SavedForm } from '../src/passes/saved.js';
import { segmentsOf } from '../src/passes/segments.js';
import { parseProgram, serializeProgram } from '../src/program-file.js';
import { plannedBytes, printProgram } from '../src/program.js';
import { Session } from '../src/train/session.js';
import { FAST_EXECUTORS } from './executors.js';
import { fixedBatch, modelOf, randomWeights, SMALL } from './tiny-vit.js';

const SLICES = 3;
const ROWS = 2;

const TEXTS: { readonly [K in MethodName]: string } = {
  full: 'full',
  head: 'head',
  'last-k': 'last-k=2',
  'bias-only': 'bias-only',
  asi: 'asi=0.6,layers=mlp',
  hosvd: 'hosvd=0.6,layers=mlp',
  wsi: 'wsi=0.8,layers=all',
  wasi: 'wasi=0.8,layers=all,activations=0.6',
  lora: 'lora=4,layers=mlp,alpha=16',
  'low-rank-gradient': 'low-rank-gradient=3,refresh=2,layers=all,rate=0.3,moments=reset',
};
const NAMES = Object.values(TEXTS);
const KINDS = [FAST_EXECUTORS[0], ...FAST_EXECUTORS.slice(-1)];
const FORMS = Object.values(SAVED_FORMS).map(({ form }) => form);

interface Setting {
  readonly text: string;
  readonly saved?: SavedForm;
  readonly optimizer?: Optimizer;
  readonly clipNorm?: number;
  /** Passes of an update, each in slices. */
  readonly passes?: number;
}

describe.each(NAMES)('%s in slices has the bits of micro-batches', (text) => {
  it.each(FORMS)('saved %s', async (saved) => {
    await expectSameBits(referenceExecutor, { text, saved });
  });

  it.each(KINDS)('on $name with 1 and 2 threads', async (kind) => {
    const setting: Setting = { text, saved: 'smallest', clipNorm: 0.5 };
    const one = await expectSameBits(kind, setting, 1);
    expect(await expectSameBits(kind, setting, 2)).toEqual(one);
  });
});

describe('in slices', () => {
  it.each([
    ['plain sgd', { text: 'full', optimizer: sgd({ weightDecay: 0.01 }) }],
    ['Nesterov', { text: 'wsi=0.8,layers=all', optimizer: sgd({ momentum: 0.9, nesterov: true }) }],
    ['clipped pairs', { text: 'wasi=0.8', optimizer: sgd(), clipNorm: 0.1 }],
    ['AdamW', { text: 'full', optimizer: adamw() }],
    ['clipped AdamW', { text: 'lora=4', optimizer: adamw(), clipNorm: 0.1 }],
    ['AdamW on factors', { text: 'low-rank-gradient=3,refresh=2', optimizer: adamw() }],
    ['two methods', { text: 'last-k=2+wsi=0.8,layers=mlp' }],
    ['two passes of an update', { text: 'wasi=0.8', passes: 2 }],
    ['two passes, AdamW', { text: 'full', optimizer: adamw(), passes: 2, clipNorm: 0.1 }],
  ] as const)('%s', async (_title, setting) => {
    await expectSameBits(referenceExecutor, setting);
  });
});

describe('memory of slices', () => {
  const options = {
    model: modelOf({ ...VIT_PRESETS['vit-micro'], classes: 10 }),
    ...{ optimizer: sgd({ momentum: 0.9 }), evalBatch: 0 },
  };
  const planned = (cut: Partial<CompileOptions>, method: string) => {
    const whole = {
      ...options,
      method: parseMethod(method),
      batch: 32,
      saved: 'smallest',
    } as const;
    return compile({ ...whole, ...cut });
  };

  it.each(['full', 'wsi=0.8,layers=all'])('is less than that of the whole: %s', (method) => {
    const [whole, sliced] = [1, 8].map((slices) => plannedBytes(planned({ slices }, method), 1));
    expect(sliced).toBeLessThan(0.8 * whole);
  });

  it('is that of one gradient of a block, without sums for all of them', () => {
    const { slots, persistentBytes } = planned({ slices: 8 }, 'full');
    expect(slots.filter(({ of }) => of === 'gradient')).toEqual([]);
    expect(persistentBytes).toBe(planned({}, 'full').persistentBytes);
  });
});

it('a program in slices says so, and comes back from its file', () => {
  const program = compile(optionsOf({ text: 'wasi=0.8' }, SLICES));
  expect(printProgram(program)).toContain('micro-batches 1, slices 3, clip none');
  const file = serializeProgram(program);
  expect(parseProgram(file)).toEqual(program);
  const edited = (slices: string) =>
    parseProgram(
      new TextEncoder().encode(new TextDecoder().decode(file).replace(',"slices":3', slices)),
    );
  // As files from before there were slices have it.
  expect(edited('').training?.slices).toBe(1);
  expect(() => edited(',"slices":4')).toThrow('4 slices of a batch of 6');
});

it.each([
  [
    4,
    'slices: expected a divisor of the batch 6, got 4. Change the batch or the number of slices.',
  ],
  [0, 'slices: expected a whole number ≥ 1, got 0. Change the option.'],
])('refuses %s slices of six images', (slices, message) => {
  const wrong = () => compile({ ...optionsOf({ text: 'full' }, SLICES), slices });
  expect(wrong).toThrow(ConfigError);
  expect(wrong).toThrow(message);
});

it('cuts between any two blocks of both passes, and around the loss', () => {
  const { graph, blocks } = modelOf(SMALL)(ROWS);
  const train = saveAs('smallest', differentiate(graph, 'loss', 1), blocks);
  const segments = segmentsOf(train.graph, blocks);
  expect(segments.flatMap(({ start, end }) => [start, end])).toEqual(
    [...segments.keys()].flatMap((at) => [
      at === 0 ? 0 : segments[at - 1].end,
      at + 1 < segments.length ? segments[at + 1].start : train.graph.nodes.length,
    ]),
  );
  const part = ({ start, end }: (typeof segments)[number]) =>
    new Set(
      train.graph.nodes
        .slice(start, end)
        .flatMap(({ name }) => /^(?:again\.|grad\.)?(?:blocks\.(\d)|loss$)/.exec(name)?.[1] ?? []),
    );
  expect(segments.map((segment) => [...part(segment)].join())).toEqual([
    '0',
    '1',
    '2',
    '',
    '2',
    '1',
    '0',
  ]);
});

/** Trains both ways, expects the same losses and bits; returns the bits. */
async function expectSameBits(
  kind: ExecutorKind,
  setting: Setting,
  threads = 1,
): Promise<ReadonlyMap<string, HostData>> {
  const micro = await trained(kind, setting, 1, threads);
  const sliced = await trained(kind, setting, SLICES, threads);
  expect([...sliced.tensors.keys()]).toEqual([...micro.tensors.keys()]);
  for (const [name, want] of micro.tensors) {
    const got = sliced.tensors.get(name) ?? [];
    const differing = want.findIndex((x, i) => x !== got[i]);
    expect(differing, `${name} at ${String(differing)}`).toBe(-1);
  }
  // The mean is taken in float32 here, in float64 there.
  sliced.losses.forEach((loss, at) => {
    expect(Math.abs(loss / micro.losses[at] - 1)).toBeLessThan(1e-6);
  });
  return sliced.tensors;
}

/**
 * The method with what only the backward pass reads computed there, as slices have it where blocks are
 * recomputed: what a Tucker core is of then is the recomputed input.
 */
function deferring(method: BoundMethod): BoundMethod {
  return { ...method, backward: (train, model) => deferred(method.backward(train, model)) };
}

function optionsOf(setting: Setting, slices: number): CompileOptions & { optimizer: Optimizer } {
  const { text, saved, optimizer = defaultOptimizer(text), clipNorm, passes = 1 } = setting;
  return {
    model: modelOf(SMALL),
    method: saved === 'smallest' ? deferring(parseMethod(text)) : parseMethod(text),
    ...{ optimizer, batch: ROWS * slices, slices, evalBatch: 0 },
    microBatches: (SLICES / slices) * passes,
    ...(saved && { saved }),
    ...(clipNorm !== undefined && { clipNorm }),
  };
}

/** Pairs ask for a rule that AdamW does not have. */
function defaultOptimizer(text: string): Optimizer {
  return /wa?si/.test(text) ? sgd({ momentum: 0.9 }) : adamw();
}

/** Three updates, each on other images: losses, and what lives across steps but sums of gradients. */
async function trained(kind: ExecutorKind, setting: Setting, slices: number, threads: number) {
  const options = optionsOf(setting, slices);
  const { optimizer, batch, microBatches = 1, method } = options;
  const program = compile(options);
  const executor = await kind.load(program, { threads });
  const model = modelOf(SMALL)(1);
  for (const [name, data] of randomWeights(method?.forward(model) ?? model)) {
    executor.write(name, data);
  }
  const session = Session.of({ executor, optimizer });
  await session.beginEpoch(1);
  const losses: number[] = [];
  for (let update = 0; update < 3; update++) {
    const { images, labels } = fixedBatch(SMALL, batch * microBatches, update);
    const pixels = images.length / microBatches;
    for (let pass = 0; pass < microBatches; pass++) {
      const part = {
        images: images.subarray(pass * pixels, (pass + 1) * pixels),
        labels: labels.subarray(pass * batch, (pass + 1) * batch),
        real: batch,
      };
      const done = await session.add(part, 0.01);
      if (done) losses.push(done.loss);
    }
  }
  const tensors = new Map<string, HostData>();
  for (const { name, role, of } of program.slots) {
    if (!['parameter', 'buffer', 'state'].includes(role) || of === 'gradient') continue;
    tensors.set(name, Float64Array.from(await executor.read(name)));
  }
  await executor.dispose();
  return { losses, tensors: new Map([...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) };
}
