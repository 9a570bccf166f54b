/**
 * Buffers: what a model keeps beside its weights. Training moves a running mean, evaluation reads it, checkpoints hold
 * it, and nothing trains it. Expected numbers are computed here in plain float64.
 */
import { describe, expect, it } from 'vitest';
import { compile, compileGraphs, type ModelBuilder } from '../src/compile.js';
import type { Executor, HostData } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { nullExecutor } from '../src/executors/null/index.js';
import { checkpointed, leaves, parameters } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { i8 } from '../src/ir/types.js';
import { parseMethod } from '../src/methods/index.js';
import { mergedWeights } from '../src/methods/merge.js';
import { sgd } from '../src/optim/sgd.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { withoutBufferUpdates } from '../src/passes/updates.js';
import { memoryReport } from '../src/plan/report.js';
import { printProgram } from '../src/program.js';
import { parseProgram, serializeProgram } from '../src/program-file.js';
import { Random } from '../src/random.js';
import { breakdown } from '../src/report/breakdown.js';
import { initialise, loadWeights, matchWeights, readWeights } from '../src/train/weights.js';
import { centred, CLASSES, HIDDEN, KEPT, WIDTH } from './centred.js';
import { EXECUTORS, FAST_EXECUTORS } from './executors.js';
import { expectClose } from './golden.js';

const BATCH = 4;
const STEPS = 3;
const RATE = 0.1;
const OPTIONS = { model: centred, optimizer: sgd(), batch: BATCH };
const TOLERANCE = { relative: 1e-5, absolute: 1e-6 };

function imagesOf(step: number): Float32Array {
  return Random.of(3, 'images', step).fillNormal(new Float32Array(BATCH * WIDTH), 1);
}

function writeBatch(executor: Executor, entry: string, step: number): void {
  executor.write(`${entry}.images`, imagesOf(step));
  executor.write(
    `${entry}.labels`,
    Int32Array.from({ length: BATCH }, (_, i) => i % CLASSES),
  );
}

async function trainSteps(executor: Executor, steps = STEPS): Promise<void> {
  for (let step = 0; step < steps; step++) {
    writeBatch(executor, 'step', step);
    executor.write('step.lr', Float32Array.of(RATE));
    await executor.run('step');
  }
}

/** Mean over the batch of fc(images + offset), with the weights of `read`. */
async function meanOf(executor: Executor, step: number): Promise<readonly number[]> {
  const weight = await executor.read('fc.weight');
  const bias = await executor.read('fc.bias');
  const images = imagesOf(step);
  return Array.from({ length: HIDDEN }, (_, h) => {
    let sum = 0;
    for (let b = 0; b < BATCH; b++) {
      for (let i = 0; i < WIDTH; i++) sum += (images[b * WIDTH + i] + 1) * weight[h * WIDTH + i];
    }
    return bias[h] + sum / BATCH;
  });
}

describe('a graph with buffers', () => {
  it('prints them, and updates them in training only', () => {
    const train = printGraph(centred(2, 'train').graph);
    expect(train).toContain('buffer norm.mean: f32[1,3]\n');
    expect(train).toContain('buffer offset.q: i8[1,16]\n');
    expect(train).toContain(
      'norm.follow: y f32[1,3] = assign(target: norm.mean, value: norm.next.y)\n',
    );
    expect(printGraph(centred(2, 'eval').graph)).not.toContain('assign');
  });

  it('has the same parameters and buffers in both modes', () => {
    const [train, evaluation] = (['train', 'eval'] as const).map((mode) =>
      checkpointed(centred(2, mode).graph).map(({ name, type, source }) => [name, type, source]),
    );
    expect(train).toEqual(evaluation);
  });

  it('trains no buffer under full, whatever the loss depends on', () => {
    const graphs = compileGraphs({ ...OPTIONS, method: parseMethod('full') });
    const step = graphs[0].graph;
    const updated = step.nodes.filter(({ op }) => op === 'sgd');
    expect(updated).toHaveLength(4);
    expect(parameters(step).map(({ name }) => name)).not.toContain('norm.mean');
    expect(leaves(step, 'buffer').map(({ name }) => name)).toEqual([
      'offset.q',
      'offset.scale',
      'norm.mean',
    ]);
  });

  it('is planned with buffers of their own, counted apart', () => {
    const program = compile(OPTIONS);
    const text = printProgram(program);
    expect(text).toContain('buffer norm.mean: f32[1,3] @');
    const bytes = 4 * HIDDEN + WIDTH + 4;
    const report = memoryReport(program, 1);
    expect(report.bufferBytes).toBe(bytes);
    const { weightBytes, optimizerBytes, factorBytes, savedBytes, tableBytes, transientBytes } =
      report;
    expect(
      weightBytes + bytes + tableBytes + optimizerBytes + factorBytes + savedBytes + transientBytes,
    ).toBe(report.peakBytes);
    const parts = Object.values<number>({ ...breakdown(program, [], 1) });
    expect(parts.reduce((sum, part) => sum + part, 0)).toBe(report.peakBytes);
    expect(parseProgram(serializeProgram(program))).toEqual(program);
  });

  it('is refused where evaluation would change it, with the node', () => {
    const model: ModelBuilder = (batch) => centred(batch, 'train');
    expect(() => compile({ model, batch: 2 })).toThrow(
      'entry eval, norm.follow: y f32[1,3] = assign(target: norm.mean, value: norm.next.y): expected ' +
        'a graph that changes nothing, got an update of the buffer norm.mean. Build the model without ' +
        "updates in mode 'eval'.",
    );
  });

  it('draws no integers', () => {
    const builder = new GraphBuilder();
    builder.buffer('mask', i8(2), { kind: 'normal', std: 1 });
    const graph = builder.build({});
    const model: ModelBuilder = () => ({ graph, blocks: [], tail: [], head: 'head.' });
    expect(() => compile({ model, batch: 1 })).toThrow(
      'buffer mask: expected initial zeros or ones for i8[2], got normal.',
    );
  });

  it('loses the updates that nobody reads, and only these', () => {
    const { graph } = centred(2, 'train');
    expect(printGraph(withoutBufferUpdates(graph))).not.toContain('assign');
    const read = graph.nodes.find(({ op }) => op === 'assign')?.outputs.y ?? 0;
    const kept = { ...graph, outputs: { ...graph.outputs, read } };
    expect(withoutBufferUpdates(kept)).toBe(kept);
    const evaluation = centred(2, 'eval').graph;
    expect(withoutBufferUpdates(evaluation)).toBe(evaluation);
  });
});

describe.each(EXECUTORS)('$name', (kind) => {
  it('moves the mean by each step, and evaluates with it without moving it', async () => {
    const executor = await kind.load(compile(OPTIONS), { threads: 2 });
    initialise(executor, centred(1, 'train'), 1);
    const expected = new Float64Array(HIDDEN);
    for (let step = 0; step < STEPS; step++) {
      const mean = await meanOf(executor, step);
      for (let h = 0; h < HIDDEN; h++) expected[h] = KEPT * expected[h] + (1 - KEPT) * mean[h];
      writeBatch(executor, 'step', step);
      executor.write('step.lr', Float32Array.of(RATE));
      await executor.run('step');
      expectClose(await executor.read('norm.mean'), expected, TOLERANCE, `step ${String(step)}`);
    }
    const before = await executor.read('norm.mean');
    executor.write('eval.images', imagesOf(9));
    await executor.run('eval');
    const logits = await executor.read('eval.logits');
    expect(await executor.read('norm.mean')).toEqual(before);
    expect(await executor.read('offset.q')).toEqual(new Int8Array(WIDTH).fill(1));
    executor.write('norm.mean', Float32Array.of(1, 2, 3));
    executor.write('eval.images', imagesOf(9));
    await executor.run('eval');
    expect(await executor.read('eval.logits')).not.toEqual(logits);
    await executor.dispose();
  });

  it('runs nothing that reads a buffer which was never set', async () => {
    const executor = await kind.load(compile({ model: centred, batch: BATCH }));
    for (const { name, type } of parameters(centred(1, 'eval').graph)) {
      executor.write(name, new Float32Array(type.shape.reduce((a, b) => a * b, 1)));
    }
    executor.write('eval.images', imagesOf(0));
    await expect(executor.run('eval')).rejects.toThrow(
      'run of eval: expected every buffer to be written before, ' +
        'got 3 never set: offset.q, offset.scale, norm.mean. Load the weights first.',
    );
    await executor.dispose();
  });
});

it.each(FAST_EXECUTORS)('has the same bits for 1, 2 and 4 threads: $name', async (kind) => {
  const run = async (threads: number) => {
    const executor = await kind.load(compile(OPTIONS), { threads });
    initialise(executor, centred(1, 'train'), 1);
    await trainSteps(executor);
    const tensors = await readWeights(executor, centred(1, 'train'));
    await executor.dispose();
    return tensors;
  };
  const [one, two, four] = await Promise.all([1, 2, 4].map(run));
  expect(two).toEqual(one);
  expect(four).toEqual(one);
});

it.each(['compact', 'smallest'] as const)(
  'moves them alike whatever form saved tensors have: %s',
  async (saved) => {
    const means = await Promise.all(
      (['exact', saved] as const).map(async (form) => {
        const executor = await referenceExecutor.load(compile({ ...OPTIONS, saved: form }));
        initialise(executor, centred(1, 'train'), 1);
        await trainSteps(executor, 1);
        return executor.read('norm.mean');
      }),
    );
    expect(means[1]).toEqual(means[0]);
  },
);

it('moves them once for each pass of an update', async () => {
  const executor = await referenceExecutor.load(compile({ ...OPTIONS, microBatches: 2 }));
  initialise(executor, centred(1, 'train'), 1);
  const expected = new Float64Array(HIDDEN);
  for (const pass of [0, 1]) {
    const mean = await meanOf(executor, pass);
    for (let h = 0; h < HIDDEN; h++) expected[h] = KEPT * expected[h] + (1 - KEPT) * mean[h];
    writeBatch(executor, 'micro', pass);
    await executor.run('micro');
  }
  executor.write('apply.lr', Float32Array.of(RATE));
  await executor.run('apply');
  expectClose(await executor.read('norm.mean'), expected, TOLERANCE, 'two passes');
});

describe('weights in and out', () => {
  const SOURCES: Readonly<Record<string, HostData>> = {
    'norm.mean': Float32Array.of(0.5, -1, 3e-9),
    'offset.q': Int8Array.from({ length: WIDTH }, (_, i) => 17 * i - 128),
    'offset.scale': Float32Array.of(0.1),
  };
  const model = centred(1, 'eval');
  const source = {
    name: 'file',
    shapes: new Map(checkpointed(model.graph).map(({ name, type }) => [name, type.shape])),
    read: (name: string) => {
      const data = SOURCES[name];
      if (data instanceof Float32Array) return data;
      const { type } = checkpointed(model.graph).find((value) => value.name === name) ?? {};
      return new Float32Array((type?.shape ?? []).reduce((a, b) => a * b, 1)).fill(0.25);
    },
    readIntegers: (name: string) => {
      const data = SOURCES[name];
      if (data instanceof Int8Array) return data;
      throw new Error(name);
    },
  };

  it('have buffers with their own dtype, bit for bit', async () => {
    const executor = await referenceExecutor.load(compile({ model: centred, batch: BATCH }));
    expect(loadWeights(executor, model, source, 1).loaded).toBe(7);
    const read = await readWeights(executor, model);
    expect(read.map(({ name, dtype }) => [name, dtype])).toContainEqual(['offset.q', 'i8']);
    for (const { name, data } of read) {
      if (name in SOURCES) expect(Array.from(data)).toEqual(Array.from(SOURCES[name]));
    }
  });

  it('need all of them', () => {
    const shapes = new Map([...source.shapes].filter(([name]) => name !== 'norm.mean'));
    expect(() => matchWeights(model, { ...source, shapes }, 1)).toThrow(
      'file: expected all 7 tensors of the model, got 1 missing: norm.mean.',
    );
  });

  it('refuse integers from a source that has none', async () => {
    const { name, shapes, read } = source;
    const executor = await nullExecutor.load(compile({ model: centred, batch: BATCH }));
    expect(() => loadWeights(executor, model, { name, shapes, read }, 1)).toThrow(
      'file, tensor offset.q: expected integers, which the model holds as i8, ' +
        'got a source of reals only. Use the checkpoint that Thimble saved.',
    );
  });

  it('are merged with the rest as they are', () => {
    const { contents } = matchWeights(model, source, 1);
    const tensors = mergedWeights(model, contents);
    const q = tensors.find(({ name }) => name === 'offset.q');
    expect(q?.dtype).toBe('i8');
    expect(q?.read()).toEqual(SOURCES['offset.q']);
  });
});
