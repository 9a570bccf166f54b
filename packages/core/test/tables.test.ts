/** Tables: constants with contents. What they hold is in the program, exactly, and in every executor's memory once. */
import { describe, expect, it } from 'vitest';
import { fromBase64, toBase64 } from '../src/base64.js';
import { ExecutorError, FormatError, GraphError } from '../src/errors.js';
import type { Graph } from '../src/ir/graph.js';
import { bytesIn, contentsText, hostArray, sameContents, type HostArray } from '../src/ir/host.js';
import { printGraph } from '../src/ir/print.js';
import { f32, i32, i8, type TensorType } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import { add } from '../src/ops/add.js';
import { assign } from '../src/ops/assign.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { dequantise } from '../src/ops/dequantise.js';
import { OPS } from '../src/ops/index.js';
import { softmaxCrossEntropy } from '../src/ops/softmax-cross-entropy.js';
import { fold } from '../src/passes/fold.js';
import { prune } from '../src/passes/prune.js';
import { plan } from '../src/plan/plan.js';
import { memoryReport } from '../src/plan/report.js';
import { printProgram, type Program, type Slot } from '../src/program.js';
import { programFault } from '../src/program-check/index.js';
import { parseProgram, serializeProgram } from '../src/program-file.js';
import { Random } from '../src/random.js';
import { nullExecutor } from '../src/executors/null/index.js';
import { EXECUTORS } from './executors.js';
import { expectClose } from './golden.js';

const PRIOR = Float32Array.of(0.1, -1e-30, 3);
const SIGNS = Int8Array.of(1, -128, 127);
const X = Float32Array.of(1, 2, 3, 4, 5, 6);

/** y = x + signs · 0.5 + prior; loss = that of classes 2 and 0. */
function withTables(prior: HostArray, name = 'prior'): Graph {
  const builder = new GraphBuilder();
  const x = builder.input('x', f32(2, 3));
  const q = builder.table('signs', i8(1, 3), SIGNS);
  const scale = builder.table('scale', f32(1), Float32Array.of(0.5));
  const moves = builder.emit(dequantise, { q, scale }, {}, 'moves').x;
  const moved = builder.emit(add, { a: x, b: moves }, {}, 'moved').y;
  const b = builder.table(name, f32(3), prior);
  const logits = builder.emit(add, { a: moved, b }, {}, 'shifted').y;
  const labels = builder.table('labels', i32(2), Int32Array.of(2, 0));
  const { loss } = builder.emit(softmaxCrossEntropy, { logits, labels }, { smoothing: 0 }, 'loss');
  return builder.build({ logits, loss });
}

const PROGRAM = plan([
  { name: 'one', graph: withTables(PRIOR) },
  { name: 'same', graph: withTables(PRIOR.slice(), 'bias') },
  { name: 'other', graph: withTables(Float32Array.of(0, 0, 1)) },
]);

const base64Of = (data: HostArray) => toBase64(bytesIn(data));
const tables = (program: Program) => program.slots.filter(({ role }) => role === 'table');

describe('a graph with tables', () => {
  it('prints their first numbers and a hash of all of them', () => {
    expect(printGraph(withTables(PRIOR)).split('\n').slice(0, 5)).toMatchInlineSnapshot(`
      [
        "input x: f32[2,3]",
        "table signs: i8[1,3] = 1 -128 127 #c18c9d01cb07eaa7",
        "table scale: f32[1] = 0.5 #1c95ab1863a7756a",
        "table prior: f32[3] = 0.1 -1e-30 3 #21b03ca8eaee58e6",
        "table labels: i32[2] = 2 0 #56a42fa7668602b1",
      ]
    `);
    const long = new Float32Array(100).fill(0.25);
    expect(contentsText(long)).toMatch(/^0\.25 0\.25 0\.25 0\.25 … #[0-9a-f]{16}$/);
    expect(contentsText(long.with(99, -0))).not.toBe(contentsText(long.with(99, 0)));
  });

  it('has one of equal ones after folding', () => {
    const builder = new GraphBuilder();
    const x = builder.input('x', f32(3));
    const [a, b, c] = [PRIOR, PRIOR.slice(), PRIOR.with(0, 0)].map((data) =>
      builder.table('prior', f32(3), data),
    );
    const once = builder.emit(add, { a: x, b: a }, {}).y;
    const twice = builder.emit(add, { a: once, b }, {}).y;
    const y = builder.emit(add, { a: twice, b: c }, {}).y;
    const { values } = prune(fold(builder.build({ y })));
    const kept = values.filter(({ source }) => source.kind === 'table');
    expect(kept.map(({ name }) => name)).toEqual(['prior', 'prior~3']);
  });

  it.each<[string, TensorType, HostArray, string]>([
    ['of another length', f32(2), PRIOR, 'contents of 3 elements'],
    ['of another dtype', i32(3), SIGNS, 'contents of i8'],
    ['with NaN', f32(3), PRIOR.with(1, NaN), 'NaN at element 1'],
    ['with an infinity', f32(3), PRIOR.with(2, -Infinity), '-Infinity at element 2'],
  ])('is refused with one %s', (_title, type, data, got) => {
    const builder = new GraphBuilder();
    builder.table('prior', type, data);
    const check = () => {
      verify(builder.build({}), OPS);
    };
    const [dims] = type.shape;
    expect(check).toThrow(GraphError);
    expect(check).toThrow(
      `table prior: expected finite contents of ${type.dtype}[${String(dims)}], got ${got}. ` +
        'Correct the contents.',
    );
  });

  it('is refused where one is updated', () => {
    const builder = new GraphBuilder();
    const target = builder.table('prior', f32(3), PRIOR);
    builder.emit(assign, { target, value: builder.input('x', f32(3)) }, {}, 'set');
    expect(() => {
      verify(builder.build({}), OPS);
    }).toThrow(
      'set: y f32[3] = assign(target: prior, value: x): expected an update of what may change, got prior.',
    );
  });
});

describe('a program with tables', () => {
  it('has each once, whatever the entries call it', () => {
    expect(tables(PROGRAM).map(({ name }) => name)).toEqual([
      'signs',
      'scale',
      'prior',
      'labels',
      'prior~2',
    ]);
    expect(memoryReport(PROGRAM, 1).tableBytes).toBe(3 + 4 + 12 + 8 + 12);
    expect(printProgram(PROGRAM)).toContain(
      `table signs: i8[1,3] @0+3 = 1 -128 127 #${contentsText(SIGNS).slice(-16)}\n`,
    );
    expect(programFault(PROGRAM)).toBeNull();
  });

  it('has the same bits after a file', () => {
    const read = parseProgram(serializeProgram(PROGRAM));
    expect(read).toEqual(PROGRAM);
    tables(read).forEach(({ data }, index) => {
      const other = tables(PROGRAM)[index].data;
      expect(data && other && sameContents(data, other)).toBe(true);
    });
  });

  const inFile = (name: string, data: unknown) => {
    const slots = PROGRAM.slots.map((slot) =>
      slot.name === name ? { ...slot, data } : { ...slot, data: slot.data && base64Of(slot.data) },
    );
    const file = { format: 'thimble-program', version: 3, ...PROGRAM, slots };
    return () => parseProgram(new TextEncoder().encode(JSON.stringify(file)));
  };

  it('is read from the file that the tests below damage', () => {
    expect(inFile('prior', base64Of(PRIOR))()).toEqual(PROGRAM);
  });

  it.each<[string, string, unknown, string]>([
    ['too few bytes', 'prior', 'AAAA', 'expected 16 characters of base64 for f32[3], got 4.'],
    [
      'no base64',
      'prior',
      '!'.repeat(16),
      'expected 16 characters of base64 for f32[3], got other text.',
    ],
    [
      'bits behind the end',
      'labels',
      'AAAAAAAAAAB=',
      'expected 12 characters of base64 for i32[2], got other text.',
    ],
    [
      'one byte more, in as many characters',
      'labels',
      'AAAAAAAAAAAA',
      'expected 12 characters of base64 for i32[2], got other text.',
    ],
    [
      'an infinity',
      'scale',
      base64Of(Float32Array.of(Infinity)),
      'expected finite numbers, got Infinity at element 0.',
    ],
    ['a list', 'prior', [1, 2, 3], 'expected a text, got'],
  ])('is refused from a file with %s', (_title, name, data, message) => {
    expect(inFile(name, data)).toThrow(FormatError);
    expect(inFile(name, data)).toThrow(message);
  });

  const changed = (name: string, change: (slot: Slot) => Slot) => ({
    ...PROGRAM,
    slots: PROGRAM.slots.map((slot) => (slot.name === name ? change(slot) : slot)),
  });

  it.each<[string, Program, string]>([
    [
      'without contents',
      changed('prior', ({ data, ...slot }) => (data ? slot : slot)),
      'slot prior with the role table without contents',
    ],
    [
      'which is a parameter',
      changed('prior', (slot) => ({ ...slot, role: 'parameter' })),
      'slot prior with the role parameter and contents',
    ],
    [
      'of another length',
      changed('prior', (slot) => ({ ...slot, data: Float32Array.of(1) })),
      'slot prior with contents of 1 elements',
    ],
    [
      'of another dtype',
      changed('prior', (slot) => ({ ...slot, data: new Int32Array(3) })),
      'slot prior with contents of i32',
    ],
    [
      'with NaN',
      changed('prior', (slot) => ({ ...slot, data: Float32Array.of(0, NaN, 0) })),
      'slot prior with NaN at element 1',
    ],
  ])('is not loaded with one %s', async (_title, program, fault) => {
    expect(programFault(program)).toBe(fault);
    await expect(nullExecutor.load(program)).rejects.toThrow(ExecutorError);
  });
});

it.each(EXECUTORS)('is computed with by $name', async (kind) => {
  const executor = await kind.load(PROGRAM, { threads: 2 });
  for (const [entry, prior] of [
    ['one', PRIOR],
    ['same', PRIOR],
    ['other', Float32Array.of(0, 0, 1)],
    ['one', PRIOR],
  ] as const) {
    executor.write(`${entry}.x`, X);
    await executor.run(entry);
    const logits = Float64Array.from(X, (x, i) => x + 0.5 * SIGNS[i % 3] + prior[i % 3]);
    const tolerance = { relative: 1e-6, absolute: 1e-6 };
    expectClose(await executor.read(`${entry}.logits`), logits, tolerance, entry);
    const rows = [logits.subarray(0, 3), logits.subarray(3)];
    const loss = rows.reduce((sum, row, index) => {
      const total = row.reduce((all, value) => all + Math.exp(value), 0);
      return sum + (Math.log(total) - row[[2, 0][index]]) / 2;
    }, 0);
    expectClose(await executor.read(`${entry}.loss`), Float64Array.of(loss), tolerance, 'loss');
  }
  expect(Array.from(await executor.read('signs'))).toEqual(Array.from(SIGNS));
  expect(Array.from(await executor.read('labels'))).toEqual([2, 0]);
  await executor.dispose();
});

describe('base64', () => {
  it('is that of Node for any bytes', () => {
    const random = Random.of(1, 'base64');
    for (const length of [0, 1, 2, 3, 4, 255, 8191, 8192, 8193, 20_000]) {
      const bytes = Uint8Array.from({ length }, () => random.below(256));
      expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
      expect(fromBase64(toBase64(bytes))).toEqual(bytes);
    }
  });

  it.each(['A', 'AA', 'AAA', 'AA==\n', ' AAAA', 'AB==', 'AAA_', '====', 'é'])(
    'takes no other text: %j',
    (text) => {
      expect(fromBase64(text)).toBeNull();
    },
  );
});

it('has room for each dtype', () => {
  expect(hostArray(i8(3))).toEqual(new Int8Array(3));
  expect(hostArray(i32(2), Int32Array.of(7, 8).buffer)).toEqual(Int32Array.of(7, 8));
});
