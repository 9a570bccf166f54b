/**
 * The contract of an executor: every op on every sample agrees with the reference, results have the same
 * bits for any number of threads, memory is what was planned, misuse is refused.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { ExecutorError } from '../src/errors.js';
import type { Executor, ExecutorKind, HostData } from '../src/executors/executor.js';
import { nullExecutor } from '../src/executors/null/index.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { parameters, type Params } from '../src/ir/graph.js';
import type { TensorType } from '../src/ir/types.js';
import { vit, type VitConfig } from '../src/models/vit/model.js';
import { initialValues } from '../src/nn/initialise.js';
import { adamw } from '../src/optim/adamw.js';
import { GraphBuilder } from '../src/ops/builder.js';
import type { AnyOp } from '../src/ops/index.js';
import type { Sample } from '../src/ops/op.js';
import { plan } from '../src/plan/plan.js';
import { plannedBytes, type Program } from '../src/program.js';
import { Random } from '../src/random.js';
import { initialise } from '../src/train/weights.js';
import { EXECUTORS, FAST_EXECUTORS, HAS_COMPILER } from './executors.js';
import { expectClose, type Tolerance } from './golden.js';
import { ALL_OPS, dataOf, mapRecord, typesOf } from './ops-evaluate.js';
import { writeScalars } from './tiny-vit.js';

/**
 * Tolerance for one float32 op on inputs of order 1. A sum of k such terms has rounding errors of about
 * 6e-8 · k/3, whatever small value it ends at; k is at most the longest axis.
 */
function toleranceOf(types: Readonly<Record<string, TensorType>>): Tolerance {
  const longest = Math.max(...Object.values(types).flatMap((type) => type.shape), 1);
  return { relative: 1e-5, absolute: 1e-6 + 2e-8 * longest };
}

const CONFIG: VitConfig = {
  family: 'vit',
  imageSize: 24,
  patch: 4,
  channels: 3,
  width: 36,
  depth: 2,
  heads: 3,
  mlpRatio: 4,
  classes: 7,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
};
const BATCH = 5;

const KERNEL_OPS = ALL_OPS.filter((op) => !op.view);

it('tests the native executor wherever it can be built', () => {
  const names = EXECUTORS.map((kind) => kind.name.split(' ')[0]);
  expect(names).toContain('wasm');
  expect(names.includes('native')).toBe(HAS_COMPILER);
});

describe.each(FAST_EXECUTORS)('$name', (kind) => {
  it('can run here', async () => {
    expect(await kind.unavailable()).toBeNull();
  });

  it.each(KERNEL_OPS)('agrees with the reference on every sample of $name', async (op) => {
    for (const sample of op.samples) {
      const program = opProgram(op, sample);
      const data = mapRecord(dataOf(op, sample), rounded);
      const tolerance = toleranceOf(typesOf(sample));
      const want = await runOnce(referenceExecutor, program, data);
      const got = await runOnce(kind, program, data);
      for (const [name, expected] of Object.entries(want)) {
        expectClose(got[name], expected, tolerance, `${sample.title}: ${name}`);
      }
    }
  });

  it('trains with the same bits on 1, 2 and 4 threads', async () => {
    const [one, two, four] = await Promise.all([1, 2, 4].map((threads) => trained(kind, threads)));
    expect(two).toEqual(one);
    expect(four).toEqual(one);
  });
});

describe.each([nullExecutor, ...EXECUTORS])('$name', (kind) => {
  it('allocates exactly the planned bytes', async () => {
    const program = trainingProgram();
    const executor = await kind.load(program, { threads: 2 });
    expect(executor.arenaBytes).toBe(plannedBytes(program, executor.threads));
    await executor.dispose();
  });

  it('loads nothing that reaches beyond its memory', async () => {
    const program = trainingProgram();
    const slots = program.slots.map((slot) => ({ ...slot, offset: 2 ** 36 }));
    await expect(kind.load({ ...program, slots })).rejects.toThrow(ExecutorError);
    await expect(kind.load({ ...program, slots })).rejects.toThrow(
      'program: expected one as compile or parseProgram returns it, ' +
        'got slot patch_embed.proj.weight outside of the arena. Load it as it was compiled.',
    );
  });

  it('is disposed of during a run, which ends or says so, and cannot be used after that', async () => {
    const program = trainingProgram();
    const executor = await kind.load(program, { threads: 2 });
    initialise(executor, vit(CONFIG, { batch: BATCH }), 1);
    writeBatch(executor, 1);
    writeScalars(executor, 'step', adamw(), 1, 1e-3);
    const outcome = executor.run('step').then(
      () => null,
      (error: unknown) => error,
    );
    await executor.dispose();
    const error = await outcome;
    if (error !== null) expect(error).toBeInstanceOf(ExecutorError);
    if (kind.name === 'reference') expect(String(error)).toContain('the executor was disposed');
    await expect(executor.run('step')).rejects.toThrow('got an executor that was disposed.');
    await expect(executor.read('head.bias')).rejects.toThrow('an executor that was disposed');
    await executor.dispose();
  });

  it('refuses unknown names, wrong lengths and wrong types', async () => {
    const executor = await kind.load(trainingProgram());
    expect(() => executor.write('step.image', new Float32Array(1))).toThrow(ExecutorError);
    expect(() => executor.write('head.bias', new Float32Array(8))).toThrow(
      'tensor head.bias: expected f32[7], 7 elements, got 8 elements of f32. ' +
        'Pass the whole tensor, row-major.',
    );
    expect(() => executor.write('step.labels', new Float32Array(BATCH))).toThrow(ExecutorError);
    await expect(executor.run('train')).rejects.toThrow(
      'program: expected one of the entries step, eval, got "train".',
    );
    await executor.dispose();
    await expect(executor.run('step')).rejects.toThrow(ExecutorError);
  });
});

/** Float64 contents rounded to what float32 can hold, so that every executor gets the same numbers. */
function rounded(data: HostData): HostData {
  return data instanceof Float64Array ? Float64Array.from(data, Math.fround) : data;
}

function opProgram(op: AnyOp, sample: Sample<Params>) {
  const builder = new GraphBuilder();
  const inputs = mapRecord(typesOf(sample), (type, key) => builder.input(key, type));
  const outputs = builder.emit(op, inputs, sample.params);
  return plan([{ name: 'op', graph: builder.build(outputs) }]);
}

async function runOnce(
  kind: ExecutorKind,
  program: Program,
  data: Readonly<Record<string, HostData>>,
): Promise<Record<string, HostData>> {
  const executor = await kind.load(program, { threads: 2 });
  for (const [name, contents] of Object.entries(data)) executor.write(`op.${name}`, contents);
  await executor.run('op');
  const results: Record<string, HostData> = {};
  for (const name of Object.keys(program.entries[0].outputs)) {
    results[name] = await executor.read(`op.${name}`);
  }
  await executor.dispose();
  return results;
}

function trainingProgram(): Program {
  return compile({
    model: (batch) => vit(CONFIG, { batch, smoothing: 0.1 }),
    optimizer: adamw(),
    batch: BATCH,
    clipNorm: 1,
  });
}

/** Three clipped AdamW steps; every parameter and the losses. */
async function trained(kind: ExecutorKind, threads: number): Promise<Record<string, HostData>> {
  const executor = await kind.load(trainingProgram(), { threads });
  const all = parameters(vit(CONFIG, { batch: BATCH }).graph);
  for (const { name, type, source } of all) {
    executor.write(name, initialValues(source.initial, type.shape, 1, name));
  }
  const results: Record<string, HostData> = {};
  for (let step = 1; step <= 3; step++) {
    writeBatch(executor, step);
    writeScalars(executor, 'step', adamw(), step, 1e-3);
    await executor.run('step');
    results[`loss ${String(step)}`] = await executor.read('step.loss');
  }
  for (const { name } of all) results[name] = await executor.read(name);
  await executor.dispose();
  return results;
}

function writeBatch(executor: Executor, step: number): void {
  const random = Random.of(7, 'batch', step);
  const pixels = new Float32Array(BATCH * 3 * CONFIG.imageSize ** 2).map(() => random.normal());
  executor.write('step.images', pixels);
  executor.write(
    'step.labels',
    new Int32Array(BATCH).map(() => random.below(CONFIG.classes)),
  );
}
