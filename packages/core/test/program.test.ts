/**
 * Programs as data: bytes out and in, refusal of damaged ones, the words that kernels read, host
 * names.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { ExecutorError, FormatError } from '../src/errors.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { f32 } from '../src/ir/types.js';
import { add } from '../src/ops/add.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { opcodeOf } from '../src/ops/index.js';
import { reshaped } from '../src/ops/reshape.js';
import { sumSquares } from '../src/ops/sum-squares.js';
import { sgd } from '../src/optim/sgd.js';
import { plan } from '../src/plan/plan.js';
import {
  encodeEntry,
  entryNamed,
  hostSlots,
  printProgram,
  type Program,
  type Slot,
  type Step,
} from '../src/program.js';
import { parseProgram, serializeProgram } from '../src/program-file.js';
import { fixedBatch, modelOf, started, step, TINY, weightsOf } from './tiny-vit.js';

/** y = 2a under another shape, total = Σ a² + y². */
function tiny(): Program {
  const builder = new GraphBuilder();
  const a = builder.input('a', f32(2, 3));
  const y = builder.emit(add, { a, b: a }, {}, 'twice').y;
  const first = builder.emit(sumSquares, { x: a }, {}, 'first').y;
  const total = builder.emit(sumSquares, { x: y, total: first }, {}, 'second').y;
  return plan([{ name: 'run', graph: builder.build({ y: reshaped(builder, y, [6]), total }) }]);
}

const VIT = compile({
  model: modelOf(TINY, 0.1),
  optimizer: sgd({ momentum: 0.9 }),
  batch: 2,
  clipNorm: 1,
});

describe('serializeProgram and parseProgram', () => {
  it.each([
    ['tiny', tiny()],
    ['ViT', VIT],
    [
      'micro-batches',
      compile({ model: modelOf(TINY), optimizer: sgd(), batch: 2, microBatches: 2 }),
    ],
  ])('are inverse: %s', (_title, program) => {
    const bytes = serializeProgram(program);
    expect(parseProgram(bytes)).toEqual(program);
    expect(serializeProgram(parseProgram(bytes))).toEqual(bytes);
  });

  it('give a program that trains to the same bits', async () => {
    const results = [];
    for (const program of [VIT, parseProgram(serializeProgram(VIT))]) {
      const executor = await started(referenceExecutor, program, modelOf(TINY)(2));
      const loss = await step(executor, sgd(), 1, 0.1, fixedBatch(TINY, 2));
      results.push({ loss, ...(await weightsOf(executor, modelOf(TINY)(2))) });
    }
    expect(results[1]).toEqual(results[0]);
  });
});

describe('damaged programs', () => {
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const header = { format: 'thimble-program', version: 3 };
  const file = { ...header, ...tiny() };
  const [first] = tiny().slots;
  const [run] = tiny().entries;

  it.each<readonly [string, Uint8Array, string]>([
    ['no JSON', new TextEncoder().encode('{'), 'program file: expected JSON, got no JSON: "{".'],
    [
      'no text',
      Uint8Array.of(0xff, 0xfe),
      'program file: expected a thimble-program of version 3, got bytes that are no UTF-8 text.',
    ],
    ['nothing', new Uint8Array(), 'program file: expected JSON, got an empty file.'],
    [
      'another object',
      encode({ slots: [] }),
      'program file, format: expected thimble-program, got nothing.',
    ],
    ['null', encode(null), 'program file: expected an object, got null.'],
    ['no tables', encode(header), 'program file, slots: expected a list, got nothing.'],
    [
      'another version',
      encode({ ...file, version: 2 }),
      'program file, version: expected 3, got 2.',
    ],
    [
      'a negative arena',
      encode({ ...file, arenaBytes: -64 }),
      'program file, arenaBytes: expected a whole number from 0 to 9007199254740991, got -64.',
    ],
    [
      'slots of null',
      encode({ ...file, slots: [null] }),
      'program file, slots[0]: expected an object, got null.',
    ],
    [
      'an offset before the arena',
      encode({ ...file, slots: [{ ...first, offset: -64 }] }),
      'program file, slots[0].offset: expected a whole number from 0 to 9007199254740991, got -64.',
    ],
    [
      'an extent of zero',
      encode({ ...file, slots: [{ ...first, type: { dtype: 'f32', shape: [0] } }] }),
      'program file, slots[0].type.shape[0]: expected a whole number from 1 to 2147483647, got 0.',
    ],
    [
      'a type that is none',
      encode({ ...file, slots: [{ ...first, type: { dtype: 'f16', shape: [] } }] }),
      'program file, slots[0].type.dtype: expected f32 or i32 or i8, got "f16".',
    ],
    [
      'a param that is none',
      encode({ ...file, entries: [{ ...run, steps: [{ ...run.steps[0], params: { a: [] } }] }] }),
      'program file, entries[0].steps[0].params.a: expected a finite number, got [].',
    ],
    [
      'a host name for no slot',
      encode({ ...file, entries: [{ ...run, outputs: { y: -1 } }] }),
      'program file, entries[0].outputs.y: expected a whole number from 0 to 1000000, got -1.',
    ],
    [
      'no word of its training',
      encode({ ...file, training: undefined }),
      'program file, training: expected an object, got nothing.',
    ],
    [
      'half a micro-batch',
      encode({ ...file, training: { ...VIT.training, microBatches: 0.5 } }),
      'program file, training.microBatches: expected a whole number from 1 to 2147483647, got 0.5.',
    ],
  ])('%s', (_title, bytes, message) => {
    const parse = () => parseProgram(bytes);
    expect(parse).toThrow(FormatError);
    expect(parse).toThrow(`${message} Compile the program again with this version of Thimble.`);
  });

  const slot = (index: number, change: Partial<Slot>): Program => ({
    ...tiny(),
    slots: tiny().slots.map((item, at) => (at === index ? { ...item, ...change } : item)),
  });
  const changed = (index: number, change: Partial<Step>): Program => {
    const [entry] = tiny().entries;
    const steps = entry.steps.map((item, at) => (at === index ? { ...item, ...change } : item));
    return { ...tiny(), entries: [{ ...entry, steps }] };
  };

  it.each<readonly [string, Program, string]>([
    ['an offset beyond the arena', slot(0, { offset: 1 << 20 }), 'slot a outside of the arena'],
    ['an offset between alignments', slot(0, { offset: 4 }), 'slot a outside of the arena'],
    [
      'a persistent slot in the transient region',
      slot(0, { entry: null }),
      'slot a outside of the arena',
    ],
    ['fewer bytes than the type has', slot(0, { bytes: 4 }), 'slot a of 4 bytes'],
    ['a root that is no slot', slot(0, { root: 99 }), 'slot a with the root 99'],
    [
      'an operand that is no slot',
      changed(0, { inputs: { a: 99, b: 0 } }),
      'step twice with other inputs than add has',
    ],
    [
      'an operand that is missing',
      changed(0, { inputs: { a: 0 } }),
      'step twice with other inputs than add has',
    ],
    [
      'an output that the op does not have',
      changed(0, { outputs: { z: 1 } }),
      'step twice with other outputs than add has',
    ],
    [
      'a workspace that is missing',
      changed(1, { workspace: null }),
      'step first with a workspace of 0 bytes',
    ],
  ])('%s', (_title, program, got) => {
    expect(faultOf(() => parseProgram(serializeProgram(program)))).toBe(got);
  });

  it('an op that does not exist, and shapes that the op refuses', () => {
    const unknown = changed(0, { op: 'toString' });
    expect(faultOf(() => parseProgram(serializeProgram(unknown)))).toContain('got "toString"');
    const larger = tiny().slots.findIndex((item) => item.name === 'first.y');
    const wrong = changed(0, { outputs: { y: larger } });
    expect(faultOf(() => parseProgram(serializeProgram(wrong)))).toBe(
      'step twice with y of type f32[]',
    );
    const mixed = changed(0, { inputs: { a: larger, b: 0 } });
    expect(faultOf(() => parseProgram(serializeProgram(mixed)))).toContain(
      'step twice: expected b',
    );
  });

  it('scratch that is too small', () => {
    const starved = serializeProgram({ ...VIT, scratchBytes: 64 });
    expect(faultOf(() => parseProgram(starved))).toBe(
      '64 bytes of scratch, where the steps need 524288',
    );
  });
});

describe('encodeEntry', () => {
  it('gives opcode, length, places in units of 64 bytes, then the scalars', () => {
    const program = tiny();
    expect('\n' + printProgram(program)).toMatchInlineSnapshot(`
      "
      program arena 704 bytes, persistent 0, scratch 0 per thread
        %0 input a: f32[2,3] @512+24 run:0-1
        %1 temporary twice.y: f32[2,3] @576+24 run:0-3
        %2 temporary first.y: f32[] @640+4 run:1-2
        %3 output second.y: f32[] @640+4 run:2-3
        %4 output reshape.y: f32[6] @576+24 run:3-3
        %5 workspace first.workspace: f32[128] @0+512 run:1-1
        %6 workspace second.workspace: f32[128] @0+512 run:2-2
      entry run
        0 y: %1 = add(a: %0, b: %0)
        1 y: %2 = sum_squares(x: %0)
        2 y: %3 = sum_squares(x: %1, total: %2)
        3 y: %4 = reshape(x: %1) {shape: 6}
      "
    `);
    const at = (name: string) => {
      const slot = program.slots.find((item) => item.name === name);
      return (slot?.offset ?? NaN) / 64;
    };
    // A view has no words; an absent operand is -1.
    expect([...encodeEntry(program, program.entries[0])]).toEqual([
      ...[opcodeOf('add'), 5, at('a'), at('a'), at('twice.y'), 6, 6],
      ...[opcodeOf('sum_squares'), 5, at('a'), -1, at('first.y'), at('first.workspace'), 6],
      ...[opcodeOf('sum_squares'), 5],
      ...[at('twice.y'), at('first.y'), at('second.y'), at('second.workspace'), 6],
      0,
    ]);
  });

  it('writes real scalars as the bits of a float32', () => {
    const words = encodeEntry(VIT, entryNamed(VIT, 'step'));
    const momentum = new Int32Array(Float32Array.of(0.9).buffer)[0];
    const updates = VIT.entries[0].steps.filter((item) => item.op === 'sgd').length;
    expect(updates).toBe(32);
    expect(words.filter((word) => word === momentum)).toHaveLength(updates);
  });
});

describe('names', () => {
  it('give the host every persistent tensor, input and output', () => {
    expect([...hostSlots(tiny()).keys()]).toEqual(['run.a', 'run.y', 'run.total']);
    const names = [...hostSlots(VIT).keys()];
    expect(names.slice(0, 2)).toEqual(['patch_embed.proj.weight', 'patch_embed.proj.bias']);
    expect(names.filter((name) => /^(step|eval)\./.test(name))).toEqual([
      'step.images',
      'step.labels',
      'step.lr',
      'step.logits',
      'step.loss',
      'step.squaredGradientNorm',
      'eval.images',
      'eval.logits',
    ]);
  });

  it('of entries are checked', () => {
    expect(() => entryNamed(VIT, 'apply')).toThrow(ExecutorError);
    expect(() => entryNamed(VIT, 'apply')).toThrow(
      'program: expected one of the entries step, eval, got "apply".',
    );
  });
});

/** What a FormatError says that it got. */
function faultOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof FormatError) return error.parts.got;
    throw error;
  }
  return 'no fault';
}
