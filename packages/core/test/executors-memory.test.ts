/**
 * What executors refuse since it is not in memory: inputs, parameters and states that were not set, results
 * that something was written over. The same on every executor, and exactly by the places in the program.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { ExecutorError } from '../src/errors.js';
import type { Executor } from '../src/executors/executor.js';
import { nullExecutor } from '../src/executors/null/index.js';
import { f32 } from '../src/ir/types.js';
import { parseMethod } from '../src/methods/index.js';
import { add } from '../src/ops/add.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { gelu } from '../src/ops/gelu.js';
import { sumSquares } from '../src/ops/sum-squares.js';
import { sgd } from '../src/optim/sgd.js';
import { plan } from '../src/plan/plan.js';
import { accumulators, printProgram, type Program } from '../src/program.js';
import { initialise } from '../src/train/weights.js';
import { EXECUTORS } from './executors.js';
import { fixedBatch, modelOf, TINY } from './tiny-vit.js';

/** Entry a: y = x + z + w, n = Σ y². Entry b: y = gelu(x). */
function twoEntries(): Program {
  const a = new GraphBuilder();
  const w = a.parameter('w', f32(16), { initial: { kind: 'zeros' } });
  const operands = { a: a.input('x', f32(16)), b: a.input('z', f32(16)) };
  const sum = a.emit(add, operands, {}, 'sum').y;
  const y = a.emit(add, { a: sum, b: w }, {}, 'y').y;
  const n = a.emit(sumSquares, { x: y }, {}, 'n').y;
  const b = new GraphBuilder();
  const other = b.emit(gelu, { x: b.input('x', f32(16)) }, {}, 'other').y;
  return plan([
    { name: 'a', graph: a.build({ y, n }) },
    { name: 'b', graph: b.build({ y: other }) },
  ]);
}

const PROGRAM = twoEntries();
const ONES = new Float32Array(16).fill(1);

it('is tried where b.x lies over a.z and the workspace of n, and over nothing else', () => {
  expect('\n' + printProgram(PROGRAM)).toContain(`
  %1 input x: f32[16] @576+64 a:0-0
  %2 input z: f32[16] @64+64 a:0-0
  %3 temporary sum.y: f32[16] @576+64 a:0-1
  %4 output y.y: f32[16] @576+64 a:1-2
  %5 output n.y: f32[] @640+4 a:2-2
  %6 workspace n.workspace: f32[128] @64+512 a:2-2
  %7 input x: f32[16] @64+64 b:0-0
  %8 output other.y: f32[16] @64+64 b:0-0
`);
});

describe.each([nullExecutor, ...EXECUTORS])('$name', (kind) => {
  const loaded = async () => {
    const executor = await kind.load(PROGRAM, { threads: 2 });
    executor.write('w', ONES);
    return executor;
  };
  const computes = kind.name !== 'null';

  it('runs an entry when its inputs and parameters have been written, once', async () => {
    const executor = await kind.load(PROGRAM, { threads: 2 });
    const run = () => executor.run('a');
    await expect(run()).rejects.toThrow(ExecutorError);
    await expect(run()).rejects.toThrow(
      'run of a: expected a.x to be written before the run, got an input that was never written. ' +
        'Write every input of an entry before each of its runs, and nothing else in between.',
    );
    executor.write('a.x', ONES);
    await expect(run()).rejects.toThrow('expected a.z to be written before the run, got an input');
    executor.write('a.z', ONES);
    await expect(run()).rejects.toThrow(
      'run of a: expected every parameter to be written before, got 1 never set: w. ' +
        'Load the weights first.',
    );
    executor.write('w', ONES);
    await run();
    await expect(run()).rejects.toThrow('got an input that was taken by the last run of a.');
    for (const name of ['a.x', 'a.z']) executor.write(name, ONES);
    if (executor.profile) {
      await executor.profile('a');
      await expect(executor.profile('a')).rejects.toThrow(
        'profile of a: expected a.x to be written before the run',
      );
    }
    await executor.dispose();
  });

  it('needs no parameter that the entry does not read', async () => {
    const executor = await kind.load(PROGRAM);
    executor.write('b.x', ONES);
    await executor.run('b');
    await executor.dispose();
  });

  it('knows which inputs another write has the bytes of', async () => {
    const executor = await loaded();
    for (const name of ['a.x', 'a.z', 'b.x']) executor.write(name, ONES);
    await expect(executor.run('a')).rejects.toThrow(
      'expected a.z to be written before the run, got an input that was written over by writing b.x.',
    );
    executor.write('a.z', ONES);
    await expect(executor.run('b')).rejects.toThrow('written over by writing a.z.');
    // a.x was never touched.
    await executor.run('a');
    if (computes) expect([...(await executor.read('a.y'))]).toEqual(new Array(16).fill(3));
    await executor.dispose();
  });

  it('knows which inputs another run has the bytes of', async () => {
    const executor = await loaded();
    for (const name of ['a.x', 'a.z', 'b.x']) executor.write(name, ONES);
    await executor.run('b');
    await expect(executor.run('a')).rejects.toThrow('expected a.z to be written before');
    executor.write('a.z', ONES);
    await executor.run('a');
    if (computes) expect([...(await executor.read('a.y'))]).toEqual(new Array(16).fill(3));
    await expect(executor.run('b')).rejects.toThrow('got an input that was');
    await executor.dispose();
  });

  it('gives results until something else has their bytes', async () => {
    const executor = await loaded();
    await expect(executor.read('a.y')).rejects.toThrow(
      'read of a.y: expected a tensor that is still in memory, got one that was never computed. ' +
        'Read results after the run that makes them, before anything else is written or run.',
    );
    for (const name of ['a.x', 'a.z']) executor.write(name, ONES);
    await executor.run('a');
    executor.write('b.x', ONES);
    await executor.run('b');
    // b has nothing of a.y and a.n, which are read as often as wanted.
    const [first, second] = [await executor.read('a.n'), await executor.read('a.n')];
    expect(second).toEqual(first);
    if (computes) expect(first[0]).toBeCloseTo(16 * 9, 4);
    await executor.read('b.y');
    executor.write('a.z', ONES);
    await expect(executor.read('b.y')).rejects.toThrow('was written over by writing a.z.');
    executor.write('a.x', ONES);
    await expect(executor.read('a.y')).rejects.toThrow('was written over by writing a.x.');
    await executor.read('a.n');
    await executor.dispose();
  });

  it('gives inputs until a run takes them, and parameters always', async () => {
    const executor = await loaded();
    await expect(executor.read('a.x')).rejects.toThrow('got one that was never written.');
    for (const name of ['a.x', 'a.z']) executor.write(name, ONES);
    if (computes) expect([...(await executor.read('a.x'))]).toEqual([...ONES]);
    await executor.run('a');
    await expect(executor.read('a.x')).rejects.toThrow('was taken by the last run of a.');
    if (computes) expect([...(await executor.read('w'))]).toEqual([...ONES]);
    await executor.dispose();
  });

  it('runs start before what reads its states, and apply after as many micro-batches as compiled', async () => {
    const [model, method] = [modelOf(TINY), parseMethod('asi=0.5,layers=all')];
    const options = { model, method, optimizer: sgd(), batch: 2, microBatches: 2, evalBatch: 0 };
    const program = compile(options);
    const executor = await kind.load(program, { threads: 2 });
    initialise(executor, method.forward(model(2)), 1);
    await expect(micro(executor)).rejects.toThrow(
      /run of micro: expected the states that start sets, got \d+ never set: blocks.0.attn.qkv.weig/,
    );
    executor.write('start.images', fixedBatch(TINY, 2).images);
    await executor.run('start');
    await micro(executor);
    await expect(apply(executor)).rejects.toThrow(
      'run of apply: expected 2 runs of micro before each of apply, as compiled, got 1. ' +
        'Run micro once for each micro-batch, then apply; writing the sums begins them anew.',
    );
    await micro(executor);
    await expect(micro(executor)).rejects.toThrow('before each of apply, as compiled, got another');
    await apply(executor);
    await expect(apply(executor)).rejects.toThrow('as compiled, got 0.');
    await micro(executor);
    for (const index of accumulators(program)) {
      const { name, bytes } = program.slots[index];
      executor.write(name, new Float32Array(bytes / 4));
    }
    await micro(executor);
    await micro(executor);
    await apply(executor);
    await executor.dispose();
  });
});

async function micro(executor: Executor): Promise<void> {
  const { images, labels } = fixedBatch(TINY, 2);
  executor.write('micro.images', images);
  executor.write('micro.labels', labels);
  await executor.run('micro');
}

async function apply(executor: Executor): Promise<void> {
  executor.write('apply.lr', Float32Array.of(0.1));
  await executor.run('apply');
}
