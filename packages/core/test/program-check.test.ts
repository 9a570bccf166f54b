/**
 * What makes a program one that can be run: everything that the planner writes passes, and a table that says
 * anything else of its steps is refused, with what is wrong.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { f32 } from '../src/ir/types.js';
import { METHODS, parseMethod } from '../src/methods/index.js';
import { swin } from '../src/models/swin/model.js';
import { vit } from '../src/models/vit/model.js';
import { add } from '../src/ops/add.js';
import { fill } from '../src/ops/fill.js';
import { gelu } from '../src/ops/gelu.js';
import { reshaped } from '../src/ops/reshape.js';
import { scale } from '../src/ops/scale.js';
import { sgd as sgdOp } from '../src/ops/sgd.js';
import { sumSquares } from '../src/ops/sum-squares.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { adamw } from '../src/optim/adamw.js';
import { sgd } from '../src/optim/sgd.js';
import { plan } from '../src/plan/plan.js';
import { printProgram, type Entry, type Program, type Slot } from '../src/program.js';
import type { Step, Training } from '../src/program.js';
import { programFault } from '../src/program-check/index.js';
import { TINY } from './tiny-vit.js';

const MODELS = {
  vit: (batch: number) => vit(TINY, { batch, smoothing: 0.1 }),
  'vit without class token': (batch: number) =>
    vit({ ...TINY, pooling: 'mean', classToken: false }, { batch }),
  swin: (batch: number) =>
    swin(
      {
        ...{ family: 'swin', imageSize: 16, patch: 2, channels: 3, width: 8, depths: [1, 2] },
        ...{ heads: [1, 2], window: 4, mlpRatio: 4, classes: 3, layerNormEps: 1e-5 },
      },
      { batch },
    ),
} as const;

const METHOD_TEXTS = [
  ...Object.keys(METHODS).map((name) => (name === 'lora' ? 'lora=2' : name)),
  ...['asi=0.5,layers=all', 'wasi=0.8,layers=all,refresh=whole', 'last-k=1+wasi'],
];

/** y = gelu(x) + w, n = Σ y²; w moves by y; eval: y = 2x, under another shape. */
function small(): Program {
  const step = new GraphBuilder();
  const w = step.parameter('w', f32(2, 3), { initial: { kind: 'zeros' } });
  const h = step.emit(gelu, { x: step.input('x', f32(2, 3)) }, {}, 'act').y;
  const moved = step.emit(add, { a: h, b: w }, {}, 'sum').y;
  const flat = reshaped(step, moved, [6]);
  const total = step.constant(f32(), 0);
  const n = step.emit(sumSquares, { x: flat, total }, {}, 'norm').y;
  const settings = { momentum: 0, nesterov: false, weightDecay: 0 };
  step.emit(sgdOp, { param: w, grad: moved, lr: step.input('lr', f32()) }, settings, 'move');
  const other = new GraphBuilder();
  const twice = other.emit(scale, { x: other.input('x', f32(2, 3)) }, { factor: 2 }, 'twice').y;
  const y = other.scope('eval', () => reshaped(other, twice, [3, 2]));
  const cleared = other.emit(fill, { x: other.state('s', f32(4)) }, { value: 1 }, 'clear').y;
  return plan([
    { name: 'step', graph: step.build({ n, flat }) },
    { name: 'eval', graph: other.build({ y, cleared }) },
  ]);
}

const SMALL = small();

function at(name: string): number {
  const index = SMALL.slots.findIndex((slot) => slot.name === name);
  if (index < 0) throw new Error(`no slot ${name}`);
  return index;
}

/** SMALL with changes of the slots that are called so. */
function slots(changes: Readonly<Record<string, Partial<Slot>>>): Program {
  const changed = SMALL.slots.map((slot) => ({ ...slot, ...changes[slot.name] }));
  return { ...SMALL, slots: changed };
}

/** SMALL whose state does not say what it is of, with a change. */
function ofNothing(change: Partial<Slot>): Program {
  const changed = SMALL.slots.map(({ of, ...slot }) =>
    of === undefined ? slot : { ...slot, ...change },
  );
  return { ...SMALL, slots: changed };
}

function entry(name: string, change: (entry: Entry) => Partial<Entry>): Program {
  const entries = SMALL.entries.map((each) =>
    each.name === name ? { ...each, ...change(each) } : each,
  );
  return { ...SMALL, entries };
}

/** SMALL with a change of the step of entry `step` that is called so. */
function step(name: string, change: Partial<Step>): Program {
  return entry('step', ({ steps }) => ({
    steps: steps.map((each) => (each.name === name ? { ...each, ...change } : each)),
  }));
}

const NESTEROV = sgd({ momentum: 0.9, nesterov: true, weightDecay: 0.1 });
const OPTIONS = [
  { saved: 'exact', optimizer: sgd(), microBatches: 2 },
  { saved: 'compact', optimizer: NESTEROV, clipNorm: 1 },
  { saved: 'smallest', optimizer: NESTEROV, clipNorm: 1, microBatches: 2 },
] as const;

describe('what the planner writes', () => {
  it.each(Object.entries(MODELS))('passes: %s', (_name, model) => {
    METHOD_TEXTS.forEach((text, index) => {
      const options = OPTIONS[index % OPTIONS.length];
      const program = compile({ model, method: parseMethod(text), batch: 3, ...options });
      expect(programFault(program), `${text} ${options.saved}`).toBeNull();
    });
    expect(programFault(compile({ model, optimizer: adamw(), batch: 3, clipNorm: 1 }))).toBeNull();
  });
});

it('is tried on this program', () => {
  expect('\n' + printProgram(SMALL)).toMatchInlineSnapshot(`
    "
    program arena 832 bytes, persistent 192, scratch 0 per thread
      %0 parameter w: f32[2,3] @0+24
      %1 constant constant f32[] 0: f32[] @64+4
      %2 state s: f32[4] @128+16
      %3 input x: f32[2,3] @704+24 step:0-0
      %4 temporary act.y: f32[2,3] @704+24 step:0-1
      %5 gradient sum.y: f32[2,3] @704+24 step:1-3
      %6 input lr: f32[] @192+4 step:0-2
      %7 temporary move.paramOut: f32[2,3] @0+24 step:2-2
      %8 output reshape.y: f32[6] @704+24 step:3-4
      %9 output norm.y: f32[] @768+4 step:4-4
      %10 workspace norm.workspace: f32[128] @192+512 step:4-4
      %11 output clear.y: f32[4] @128+16 eval:0-2
      %12 input x: f32[2,3] @192+24 eval:0-1
      %13 temporary twice.y: f32[2,3] @192+24 eval:1-2
      %14 output eval.reshape.y: f32[3,2] @192+24 eval:2-2
    entry step
      0 y: %4 = gelu(x: %3)
      1 y: %5 = add(a: %4, b: %0)
      2 paramOut: %7 = sgd(param: %0, grad: %5, lr: %6) {momentum: 0, weightDecay: 0}
      3 y: %8 = reshape(x: %5) {shape: 6}
      4 y: %9 = sum_squares(x: %8, total: %1)
    entry eval
      0 y: %11 = fill(x: %2) {value: 1}
      1 y: %13 = scale(x: %12) {factor: 2}
      2 y: %14 = reshape(x: %13) {shape: 3,2}
    "
  `);
});

const TRAINING: Training = {
  ...{ method: 'full', saved: 'exact', batch: 2, microBatches: 1, slices: 1, clipNorm: null },
  optimizer: { name: 'sgd', settings: {} },
  cues: {},
  rates: {},
};

/** A program for three images that says something else of its training. */
function compiled(change: Partial<Training>): Program {
  const program = compile({ model: MODELS.vit, optimizer: sgd(), batch: 3 });
  return { ...program, training: { ...TRAINING, batch: 3, ...change } };
}

/** A title, the damaged program, and what is said of it. */
type Damage = readonly [title: string, program: Program, fault: string];

const TABLES: readonly Damage[] = [
  [
    'an offset beyond the arena',
    slots({ lr: { offset: 1 << 20 } }),
    'slot lr outside of the arena',
  ],
  ['an offset between alignments', slots({ lr: { offset: 196 } }), 'slot lr outside of the arena'],
  ['an input among the weights', slots({ lr: { offset: 128 } }), 'slot lr outside of the arena'],
  ['a weight among the inputs', slots({ w: { offset: 256 } }), 'slot w outside of the arena'],
  [
    'a view elsewhere',
    slots({ 'move.paramOut': { offset: 64 } }),
    'slot move.paramOut with the root w',
  ],
  ['a root that is none', slots({ lr: { root: 99 } }), 'slot lr with the root 99'],
  [
    'a root with a root',
    slots({ 'act.y': { root: at('sum.y') } }),
    'slot act.y with the root sum.y',
  ],
  ['a weight with a root', slots({ w: { root: at('s') } }), 'slot w with the root s'],
  ['a root of another entry', slots({ lr: { root: 12 } }), 'slot lr with the root x'],
  ['another number of bytes', slots({ w: { bytes: 64 } }), 'slot w of 64 bytes'],
  ['an extent of zero', slots({ w: { type: f32(0), bytes: 0 } }), 'slot w without a type'],
  [
    'an entry that is none',
    slots({ lr: { entry: 'go' } }),
    'slot lr of the entry go, which is none',
  ],
  [
    'a state of an entry',
    slots({ lr: { role: 'state' } }),
    'slot lr with the role state in an entry',
  ],
  [
    'an input of no entry',
    slots({ s: { role: 'input' } }),
    'slot s with the role input without an entry',
  ],
  [
    'a constant without a value',
    slots({ 'constant f32[] 0': { role: 'state' } }),
    'slot constant f32[] 0 with the fill 0',
  ],
  ['a state of nothing', ofNothing({}), 'slot s with the role state of undefined'],
  ['a state with a value', slots({ s: { fill: 1 } }), 'slot s with the fill 1'],
  [
    'weights over each other',
    slots({ s: { offset: 0 }, 'clear.y': { offset: 0 } }),
    'slot s over w, which is needed at the same time',
  ],
  ['two weights of one name', slots({ s: { name: 'w' } }), 'the name w twice'],
  ['two slots of one name', slots({ 'sum.y': { name: 'act.y' } }), 'the name act.y twice'],
  [
    'a weight with the name of an input',
    slots({ s: { name: 'step.lr' } }),
    'the name step.lr twice',
  ],
  [
    'two entries of one name',
    { ...SMALL, entries: [SMALL.entries[0], SMALL.entries[0]] },
    'slot clear.y of the entry eval, which is none',
  ],
  ['more memory than there is', { ...SMALL, arenaBytes: 768 }, 'slot norm.y outside of the arena'],
  [
    'memory that nothing is in',
    { ...SMALL, arenaBytes: 896 },
    'an arena of 896 bytes, where the slots end at 832',
  ],
  ['weights that are none', { ...SMALL, persistentBytes: 256 }, 'slot lr outside of the arena'],
  [
    'training in other micro-batches',
    { ...SMALL, training: { ...TRAINING, microBatches: 2 } },
    '2 micro-batches with the entries step',
  ],
  ['training with other images', compiled({ batch: 4 }), 'a batch of 4 for 3 images'],
  [
    'training without an entry for its micro-batches',
    compiled({ microBatches: 4 }),
    '4 micro-batches with the entries step',
  ],
  [
    'scratch that nobody needs',
    { ...SMALL, scratchBytes: 64 },
    '64 bytes of scratch, where the steps need 0',
  ],
];

const STEPS: readonly Damage[] = [
  [
    'an input too few',
    step('sum', { inputs: { a: at('act.y') } }),
    'step sum with other inputs than add has',
  ],
  [
    'an input too many',
    step('act', { inputs: { x: at('x'), b: at('w') } }),
    'step act with other inputs than gelu has',
  ],
  ['no result', step('act', { outputs: {} }), 'step act with other outputs than gelu has'],
  [
    'a param too few',
    step('move', { params: { momentum: 0, nesterov: false } }),
    'step move with a weightDecay that sgd does not have',
  ],
  [
    'a param of another kind',
    step('move', { params: { momentum: 0, nesterov: 'no', weightDecay: 0 } }),
    'step move with a nesterov that sgd does not have',
  ],
  [
    'a param too many',
    step('act', { params: { eps: 1 } }),
    'step act with a eps that gelu does not have',
  ],
  [
    'a number beyond float32',
    entry('eval', ({ steps }) => ({
      steps: steps.map((each) =>
        each.op === 'scale' ? { ...each, params: { factor: 1e39 } } : each,
      ),
    })),
    'step twice: expected places and extents of 32 bits, and numbers that float32 can hold, ' +
      'got scale(3, 3, 6, NaN). Use a smaller batch or a smaller model.',
  ],
  [
    'a workspace too few',
    step('norm', { workspace: null }),
    'step norm with a workspace of 0 bytes',
  ],
  [
    'a workspace too many',
    step('act', { workspace: at('norm.workspace') }),
    'step act with a workspace of 512 bytes',
  ],
  ['another type', slots({ 'norm.y': { type: f32(1) } }), 'step norm with y of type f32[1]'],
];

const MEMORY: readonly Damage[] = [
  [
    'an input under another name',
    entry('step', () => ({ inputs: { x: at('lr'), lr: at('lr') } })),
    'entry step with the input x in lr',
  ],
  [
    'an output of another entry',
    entry('eval', ({ outputs }) => ({ outputs: { ...outputs, n: at('norm.y') } })),
    'entry eval with the output norm.y',
  ],
  [
    'an update elsewhere',
    slots({ 'move.paramOut': { root: at('move.paramOut'), offset: 832 } }),
    'slot move.paramOut outside of the arena',
  ],
  [
    'a view that is a copy',
    {
      ...slots({ 'reshape.y': { root: at('reshape.y'), offset: 832 } }),
      arenaBytes: 896,
    },
    'step reshape with y in the memory of reshape.y',
  ],
  [
    'a result over what its op may not write over',
    slots({ 'norm.y': { root: at('lr'), offset: 192 } }),
    'step norm with y in the memory of lr',
  ],
  [
    'a result over a weight',
    slots({ 'act.y': { root: at('w'), offset: 0 } }),
    'step act with y in the memory of w',
  ],
  [
    'a result over an operand that is read twice',
    step('sum', { inputs: { a: at('act.y'), b: at('act.y') } }),
    'step sum that writes over x',
  ],
  [
    'an update of a constant',
    ofNothing({ role: 'constant', fill: 0 }),
    'step clear that writes over s',
  ],
  [
    'a read before its time',
    step('act', { inputs: { x: at('sum.y') } }),
    'step act with x, which is not there then',
  ],
  [
    'a read of what was written over',
    step('norm', { inputs: { x: at('act.y'), total: 1 } }),
    'step norm with x, which is not there then',
  ],
  [
    'an output that was written over',
    entry('step', ({ outputs }) => ({ outputs: { ...outputs, h: at('act.y') } })),
    'entry step with the output h, which is not there then',
  ],
  [
    'a slot that is made twice',
    step('sum', { outputs: { y: at('act.y') } }),
    'step sum that makes act.y',
  ],
  ['an input that is made', step('act', { outputs: { y: at('x') } }), 'step act that makes x'],
  [
    'a slot that nobody makes',
    entry('step', ({ steps }) => ({ steps: steps.slice(0, -1), outputs: {} })),
    'slot norm.y, which no step makes',
  ],
  ['a life too short', slots({ 'sum.y': { last: 2 } }), 'slot sum.y from step 1 to 2'],
  ['a life too long', slots({ lr: { last: 4 } }), 'slot lr from step 0 to 4'],
  ['an input that comes late', slots({ lr: { first: 1 } }), 'slot lr from step 1 to 2'],
  [
    'an output that goes early',
    slots({ 'reshape.y': { last: 3 } }),
    'slot reshape.y from step 3 to 3',
  ],
  ['a weight with a life', slots({ w: { last: 3 } }), 'slot w from step 0 to 3'],
  [
    'two inputs in one place',
    slots({ lr: { offset: 704 } }),
    'slot lr over x, which is needed at the same time',
  ],
  [
    'a workspace over an operand',
    slots({ 'norm.workspace': { offset: 256 } }),
    'slot norm.workspace over x, which is needed at the same time',
  ],
  [
    'a workspace over a result',
    slots({ 'norm.y': { offset: 256 } }),
    'slot norm.workspace over norm.y, which is needed at the same time',
  ],
];

describe.each([
  ['tables', TABLES],
  ['steps', STEPS],
  ['memory', MEMORY],
])('damage of %s', (_kind, damages) => {
  it.each(damages)('%s', (_title, program, fault) => {
    expect(programFault(program)).toBe(fault);
  });
});
