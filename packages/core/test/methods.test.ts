/**
 * The contract of a training method. To be listed in METHODS is to be tested: frozen tensors keep
 * their bits, trainable ones move, the plan is no larger than that of full training, the saved
 * bytes are the closed form of the method's header, the loss falls, and the text reads back. Saved
 * bytes are those of all that gradients read, kept as it is.
 *
 * Legend of the closed forms: see tiny-vit.ts; 4 bytes per element.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { ConfigError, UnknownNameError } from '../src/errors.js';
import type { ExecutorKind, HostData } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { parameters, type ModelGraph } from '../src/ir/graph.js';
import { elements } from '../src/ir/types.js';
import { METHODS, parseMethod, type MethodName } from '../src/methods/index.js';
import { bind, type BoundMethod, type Method } from '../src/methods/method.js';
import { tokenCount, type VitConfig } from '../src/models/vit/model.js';
import { adamw } from '../src/optim/adamw.js';
import { savesWork } from '../src/methods/tucker-cost.js';
import { OPTIMIZERS } from '../src/optim/index.js';
import type { Optimizer } from '../src/optim/optimizer.js';
import type { SavedForm } from '../src/passes/saved.js';
import { memoryReport } from '../src/plan/report.js';
import { plannedBytes, type Program } from '../src/program.js';
import { FAST_EXECUTORS } from './executors.js';
import { Session } from '../src/train/session.js';
import { fixedBatch, modelOf, SMALL, started, TINY, weightsOf } from './tiny-vit.js';

/** One entry per method: a configuration as text, and what the contract expects of it. */
interface Expected {
  readonly text: string;
  /** True for the parameters that train, in a model of depth 3. */
  readonly trains: (name: string) => boolean;
  /** Elements that are saved for the backward pass. */
  readonly saved: (sizes: Sizes) => number;
  /** States of the method itself, in a model of depth 3; default: none. */
  readonly states?: readonly string[];
  /** Parameters that train without states of the optimiser's of their own; default: none. */
  readonly stateless?: (name: string) => boolean;
  /** False where savings need larger models than these; its own test has one. Default: true. */
  readonly pays?: boolean;
}

interface Sizes {
  readonly B: number;
  readonly N: number;
  readonly D: number;
  readonly H: number;
  readonly L: number;
  readonly R: number;
  readonly P: number;
  /** Patches of an image. */
  readonly M: number;
  /** Tokens that are read of the last block: behind its attention it computes no others. */
  readonly T: number;
}

/** A block in full training; the last one; the final norm with the classifier. */
const block = ({ B, N, D, H, R }: Sizes) => B * N * ((8 + 2 * R) * D + H + 4);
const last = ({ B, N, D, H, R, T }: Sizes) => B * (N * (5 * D + H + 2) + T * ((3 + 2 * R) * D + 2));
const tail = ({ B, D }: Sizes) => B * (2 * D + 2);

/** What a block saves with the inputs of its MLP's linears in Tucker form, and their factors. */
const factored = (sizes: Sizes, keep: (shape: readonly number[]) => number) => {
  const { B, N, D, R } = sizes;
  const inputs = [[B, N, D] as const, [B, N, R * D] as const];
  return inputs.reduce((sum, shape) => sum - elements(shape) + keep(shape), block(sizes));
};
/** Ranks of the typical spectrum: D ε^1.7 images, D ε^4 tokens, D ε^6 channels. */
const typical = (shape: readonly number[], epsilon: number) =>
  shape.map((extent, mode) => Math.ceil(extent * epsilon ** [1.7, 4, 6][mode]));
const core = (epsilon: number) => (shape: readonly number[]) => elements(typical(shape, epsilon));
const factors = (shape: readonly number[], epsilon: number) =>
  typical(shape, epsilon).reduce((sum, rank, mode) => sum + rank * shape[mode], 0);
/** K of both linears of an MLP at ε = 0.8: D is the smaller side of each. */
const typicalK = ({ D }: Sizes) => Math.round(0.319 * D);
/** Whether wasi=0.8,activations=0.5 compresses inputs: those of the narrowest MLP it does not. */
const compresses = (sizes: Sizes) => {
  const { B, N, D, R } = sizes;
  const shape = [B, N, D];
  const linear = { shape, outputs: R * D, rank: typicalK(sizes) };
  return savesWork(linear, typical(shape, 0.5), 'sequential');
};
const FACTORED = [0, 1, 2].flatMap((index) => [
  `blocks.${String(index)}.mlp.fc1.weight`,
  `blocks.${String(index)}.mlp.fc2.weight`,
]);

/** Of every linear of the blocks: two factors with their moments, and the steps that these have seen. */
const GRADIENT_FACTORS = [0, 1, 2].flatMap((index) =>
  ['attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2'].flatMap((linear) => {
    const factors = `blocks.${String(index)}.${linear}.weight.factors`;
    const sides = ['u', 'v'].map((side) => `${factors}.${side}`);
    const counts = [`${factors}.known`, `${factors}.correction`];
    return [...counts, ...sides.flatMap((side) => [side, `${side}.m`, `${side}.v`])];
  }),
);

const EXPECTED: { readonly [K in MethodName]: Expected } = {
  full: {
    text: 'full',
    trains: () => true,
    saved: (s) => (s.L - 1) * block(s) + last(s) + tail(s) + s.B * s.M * s.P,
  },
  head: {
    text: 'head',
    trains: (name) => name.startsWith('head.'),
    saved: ({ B, D }) => B * D,
  },
  'last-k': {
    text: 'last-k=2',
    trains: (name) => /^(blocks\.[12]|norm|fc_norm|head)\./.test(name),
    saved: (s) => block(s) + last(s) + tail(s),
  },
  'bias-only': {
    text: 'bias-only',
    trains: (name) => name.endsWith('.bias') || name.startsWith('head.'),
    saved: (s) =>
      s.B * s.N * ((s.L - 1) * ((5 + s.R) * s.D + s.H + 4) + 4 * s.D + s.H + 2) +
      s.B * s.T * ((1 + s.R) * s.D + 2) +
      tail(s),
  },
  asi: {
    text: 'asi=0.6,layers=mlp',
    trains: () => true,
    saved: (s) => s.L * factored(s, core(0.6)) + tail(s) + s.B * s.M * s.P,
    states: FACTORED.flatMap((weight) =>
      [0, 1, 2].map((mode) => `${weight}.tucker.${String(mode)}`),
    ),
  },
  hosvd: {
    text: 'hosvd=0.6,layers=mlp',
    trains: () => true,
    saved: (s) =>
      s.L * factored(s, (shape) => core(0.6)(shape) + factors(shape, 0.6)) +
      tail(s) +
      s.B * s.M * s.P,
  },
  wsi: {
    text: 'wsi=0.8,layers=mlp,truncation=data',
    trains: () => true,
    saved: (s) => EXPECTED.full.saved(s) + s.B * ((s.L - 1) * s.N + s.T) * 2 * typicalK(s),
    pays: false,
  },
  wasi: {
    text: 'wasi=0.8,layers=mlp,truncation=data,activations=0.5',
    trains: () => true,
    saved: (s) => {
      if (!compresses(s)) return EXPECTED.wsi.saved(s);
      // The last block runs on the class token alone and stays as it is, with z of both linears.
      const end = s.T < s.N ? last(s) + s.B * s.T * 2 * typicalK(s) : factored(s, core(0.5));
      return (s.L - 1) * factored(s, core(0.5)) + end + tail(s) + s.B * s.M * s.P;
    },
    states: FACTORED.filter((weight) => !weight.startsWith('blocks.2.')).flatMap((weight) =>
      [0, 1, 2].map((mode) => `${weight}.tucker.${String(mode)}`),
    ),
  },
  lora: {
    text: 'lora=4,layers=mlp,alpha=16',
    trains: (name) => /\.(left|right)$/.test(name) || name.startsWith('head.'),
    // Of block 0 only what its adapters read: nothing below them trains.
    saved: (s) =>
      s.B * s.N * ((s.L - 1) * ((6 + 2 * s.R) * s.D + s.H + 4 + 2 * 4) - 5 * s.D - s.H - 4) +
      s.B * (s.N * (4 * s.D + s.H + 2) + s.T * ((2 + 2 * s.R) * s.D + 2 + 2 * 4)) +
      tail(s),
  },
  'low-rank-gradient': {
    text: 'low-rank-gradient=3,refresh=4,layers=all,rate=0.3,moments=reset',
    trains: () => true,
    saved: (s) => EXPECTED.full.saved(s),
    states: GRADIENT_FACTORS,
    stateless: (name) => /\.(attn|mlp)\..*\.weight$/.test(name),
  },
};

const NAMES = Object.keys(METHODS).filter((name): name is MethodName => name in EXPECTED);
const MEAN: VitConfig = { ...SMALL, classToken: false, pooling: 'mean', width: 18, heads: 2 };
const CONFIGS = [
  { title: 'depth 3', config: SMALL, batch: 2 },
  { title: 'MLP ratio 2', config: { ...SMALL, mlpRatio: 2, width: 6 }, batch: 5 },
  { title: 'mean pooling', config: MEAN, batch: 3 },
];

it('covers every method', () => {
  expect(NAMES).toEqual(Object.keys(METHODS));
});

describe.each(NAMES)('%s', (name) => {
  const { text, trains, saved } = EXPECTED[name];
  const optimizer = adamw();
  const { states: own = [], stateless = () => false, pays = true } = EXPECTED[name];
  const method = parseMethod(text);

  const kinds = [referenceExecutor, ...FAST_EXECUTORS.slice(-1)];
  const walk = Object.values(OPTIMIZERS).flatMap((make) =>
    kinds.map((kind) => ({ kind, on: kind.name, optimizer: make(), by: make().name })),
  );
  it.each(walk)(
    'trains what it says and nothing else, by $by on $on',
    async ({ kind, optimizer }) => {
      const model = method.forward(modelOf(SMALL)(3));
      const compiled = program(text, SMALL, 3, optimizer);
      const before = await weightsOf(await started(kind, compiled, model), model);
      const { after, losses } = await trained(kind, method, 5, optimizer);
      for (const parameter of parameters(model.graph)) {
        const same = after[parameter.name].every((x, i) => x === before[parameter.name][i]);
        expect(same, parameter.name).toBe(!trains(parameter.name));
      }
      expect(losses.every(Number.isFinite)).toBe(true);
    },
  );

  it('makes the loss fall on a fixed batch', async () => {
    const { losses } = await trained(referenceExecutor, method, 10, optimizer);
    losses.slice(1).forEach((loss, index) => expect(loss).toBeLessThan(losses[index]));
  });

  it.each(CONFIGS)('saves the closed form: $title', ({ config, batch }) => {
    const report = memoryReport(keeping(text, config, batch, optimizer), 1);
    expect(report.savedBytes).toBe(4 * saved(sizesOf(config, batch)));
  });

  // Of batches whose activations outweigh the workspace of what a method computes beside them.
  it.each(CONFIGS)('needs no more memory than full training: $title', ({ config, batch }) => {
    const bytes = plannedBytes(keeping(text, config, 8 * batch, optimizer), 1);
    const full = plannedBytes(keeping('full', config, 8 * batch, optimizer), 1);
    const sizes = sizesOf(config, 8 * batch);
    // The last block stays whole where its inputs are held in Tucker form.
    const whole = own.length > 0 || name === 'hosvd' ? 4 * (block(sizes) - last(sizes)) : 0;
    if (name === 'full') expect(bytes).toBe(full);
    else if (pays) expect(bytes).toBeLessThan(full + whole);
    else {
      const more = 4 * (saved(sizes) - EXPECTED.full.saved(sizes));
      expect(bytes).toBeLessThan(full + more + 8192);
    }
  });

  it('keeps its own states, and optimiser state for what trains only', () => {
    const all = parameters(method.forward(modelOf(SMALL)(3)).graph);
    const compiled = program(text, SMALL, 3, optimizer);
    const states = compiled.slots.filter((slot) => slot.role === 'state');
    const kept = ['m', 'v'];
    const trained = all.filter((parameter) => trains(parameter.name) && !stateless(parameter.name));
    expect(states.map((slot) => slot.name).sort()).toEqual(
      [...own, ...trained.flatMap(({ name }) => kept.map((state) => `${name}.${state}`))].sort(),
    );
  });

  it('is full training, bit by bit, at its neutral point', async () => {
    const neutral = neutralMethod(METHODS[name], modelOf(SMALL)(3));
    if (neutral === null) {
      // No configuration trains everything as `full` does, so there is nothing to compare.
      expect(['head', 'last-k', 'bias-only', 'lora', 'low-rank-gradient']).toContain(name);
      return;
    }
    const want = await trained(referenceExecutor, parseMethod('full'), 5);
    const got = await trained(referenceExecutor, neutral, 5);
    expect(got).toEqual(want);
  });

  it('reads its own text back', () => {
    expect(parseMethod(text)).toMatchObject({ name, text });
    expect(parseMethod(parseMethod(name).text).text).toBe(parseMethod(name).text);
    expect(METHODS[name].usage.startsWith(name)).toBe(true);
  });
});

describe('options', () => {
  it.each([
    ['last-k', 'last-k=2'],
    ['last-4', 'last-k=4'],
    ['last-k=12', 'last-k=12'],
  ])('%s means %s', (text, canonical) => {
    expect(parseMethod(text).text).toBe(canonical);
  });

  const blocks = 'expected a whole number of blocks ≥ 1, as in last-k=4, got';
  it.each([
    [
      'last-k=0',
      `method last-k: ${blocks} "0". Change the number; method head trains no block at all.`,
    ],
    [
      'last-k=',
      `method last-k: ${blocks} "". Change the number; method head trains no block at all.`,
    ],
    [
      'last-k=two',
      `method last-k: ${blocks} "two". Change the number; method head trains no block at all.`,
    ],
    [
      'last-k=1.5',
      `method last-k: ${blocks} "1.5". Change the number; method head trains no block at all.`,
    ],
    ['full=1', 'method full: expected no option, got "=1". Write full alone.'],
    ['head=', 'method head: expected no option, got "=". Write head alone.'],
    ['bias-only=x', 'method bias-only: expected no option, got "=x". Write bias-only alone.'],
  ])('refuses %s', (text, message) => {
    expect(() => parseMethod(text)).toThrow(ConfigError);
    expect(messageOf(() => parseMethod(text))).toBe(message);
  });

  it('refuses more blocks than the model has', () => {
    expect(messageOf(() => program('last-k=4'))).toBe(
      'method last-k: expected at most 3 blocks, the depth of the model, got 4. ' +
        'Lower K, or use method full.',
    );
  });

  it('refuses an option beside the text that no method of it has', () => {
    expect(messageOf(() => parseMethod('last-k=2+bias-only', { layers: 'all' }))).toMatch(
      /^method last-k=2\+bias-only: expected no layers.*, got layers all\. Leave it out, or choose/,
    );
  });

  it.each([
    ['bias', 'Choose one of them'],
    ['bias_only', 'The nearest is "bias-only"'],
    ['ful', 'The nearest is "full"'],
    ['heads=3', 'The nearest is "head"'],
  ])('names what is near to %s', (text, todo) => {
    expect(() => parseMethod(text)).toThrow(UnknownNameError);
    const [name] = text.split('=');
    expect(messageOf(() => parseMethod(text))).toBe(
      `method: expected one of ${Object.keys(METHODS).join(', ')}, got "${name}". ${todo}.`,
    );
  });
});

it('last-k has no neutral point: with all blocks the embeddings stay as they are', async () => {
  const { after } = await trained(referenceExecutor, parseMethod('last-k=3'), 2);
  const { after: full } = await trained(referenceExecutor, parseMethod('full'), 2);
  expect(after['pos_embed']).not.toEqual(full['pos_embed']);
  expect(after['blocks.0.norm1.weight']).not.toEqual(full['blocks.0.norm1.weight']);
});

it('saves what the gradients read, by name', () => {
  const saved = (text: string) =>
    keeping(text, TINY, 2)
      .slots.filter((slot) => slot.role === 'saved')
      .map((slot) => slot.name);
  expect(saved('head')).toEqual(['norm.y']);
  expect(saved('last-k=1')).toEqual([
    'blocks.0.mlp.fc2.y',
    'blocks.1.norm1.y',
    'blocks.1.norm1.mean',
    'blocks.1.norm1.rstd',
    'blocks.1.attn.qkv.y',
    'blocks.1.attn.mix.lse',
    'blocks.1.attn.proj.tokens.y',
    'blocks.1.attn.proj.y',
    'blocks.1.norm2.y',
    'blocks.1.norm2.mean',
    'blocks.1.norm2.rstd',
    'blocks.1.mlp.act.fused',
    'blocks.1.mlp.fc1.y',
    'reshape.y',
    'norm.y',
    'norm.mean',
    'norm.rstd',
  ]);
  // Without norm1.y, mix.y, norm2.y and act.fused, which only the gradients of weights read.
  expect(saved('bias-only').filter((name) => name.startsWith('blocks.1.'))).toEqual([
    'blocks.1.norm1.mean',
    'blocks.1.norm1.rstd',
    'blocks.1.attn.qkv.y',
    'blocks.1.attn.mix.lse',
    'blocks.1.attn.proj.y',
    'blocks.1.norm2.mean',
    'blocks.1.norm2.rstd',
    'blocks.1.mlp.fc1.y',
  ]);
});

function sizesOf(config: VitConfig, batch: number): Sizes {
  const { width, heads, depth, mlpRatio, patch, channels, imageSize, pooling } = config;
  return {
    B: batch,
    N: tokenCount(config),
    D: width,
    H: heads,
    L: depth,
    R: mlpRatio,
    P: channels * patch * patch,
    M: (imageSize / patch) ** 2,
    T: pooling === 'token' ? 1 : tokenCount(config),
  };
}

function program(
  text: string,
  config: VitConfig = SMALL,
  batch = 3,
  optimizer: Optimizer = adamw(),
): Program {
  return compiled(parseMethod(text), config, batch, optimizer);
}

/** With all that gradients read kept as it is, which is what the closed forms count. */
function keeping(
  text: string,
  config: VitConfig,
  batch: number,
  optimizer: Optimizer = adamw(),
): Program {
  return compiled(parseMethod(text), config, batch, optimizer, 'all');
}

function compiled(
  method: BoundMethod,
  config: VitConfig,
  batch: number,
  optimizer: Optimizer,
  saved: SavedForm = 'exact',
): Program {
  return compile({ model: modelOf(config), method, optimizer, batch, evalBatch: 0, saved });
}

function neutralMethod(method: Method<unknown>, model: ModelGraph): BoundMethod | null {
  const neutral = method.neutral(model);
  return neutral && bind(method, neutral.config);
}

/** Losses and parameters of steps on a fixed batch. */
async function trained(
  kind: ExecutorKind,
  method: BoundMethod,
  steps: number,
  optimizer: Optimizer = adamw(),
): Promise<{ losses: readonly number[]; after: Readonly<Record<string, HostData>> }> {
  const model = method.forward(modelOf(SMALL)(3));
  const program = compiled(method, SMALL, 3, optimizer);
  const executor = await started(kind, program, model);
  const session = Session.of({ executor, optimizer });
  const losses: number[] = [];
  for (let number = 1; number <= steps; number++) {
    const update = await session.add(fixedBatch(SMALL, 3), 1e-2);
    if (update) losses.push(update.loss);
  }
  const after = await weightsOf(executor, model);
  await executor.dispose();
  return { losses, after };
}

function messageOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  return 'no error';
}
