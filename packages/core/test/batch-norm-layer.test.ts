/**
 * A small convolutional network with batch normalisation, trained beside PyTorch in float64:
 * reference/fixtures/batch_norm.safetensors, written by reference/batch_norm_fixture.py.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compile, type CompileOptions, type ModelBuilder } from '../src/compile.js';
import type { Executor } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { readSafetensors } from '../src/formats/safetensors.js';
import { checkpointed, type Mode } from '../src/ir/graph.js';
import { f32, i32 } from '../src/ir/types.js';
import { batchNorm, type BatchNormOptions } from '../src/nn/batch-norm.js';
import { linear } from '../src/nn/layers.js';
import { conv2d } from '../src/ops/conv2d.js';
import { padded } from '../src/ops/conv2d-sizes.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { meanTokens } from '../src/ops/mean-tokens.js';
import { reshaped } from '../src/ops/reshape.js';
import { softmaxCrossEntropy } from '../src/ops/softmax-cross-entropy.js';
import { sgd } from '../src/optim/sgd.js';
import { expectClose, values } from './golden.js';

const path = new URL('../../../reference/fixtures/batch_norm.safetensors', import.meta.url);
const file = readSafetensors(new Uint8Array(readFileSync(path)));
const [STEPS, BATCH, CHANNELS, HEIGHT, WIDTH] = [3, 4, 3, 6, 5];
const [FEATURES, CLASSES] = [5, 3];
const RATE = 0.1;
const EXACT = { relative: 1e-9, absolute: 1e-11 };

type Statistics = BatchNormOptions['statistics'];

/** images [B, H, W, C] → conv 3 × 3 → batch norm, ReLU6 → mean of the pixels → linear. */
function network(statistics: Statistics): ModelBuilder {
  return (batch, mode) => {
    const builder = new GraphBuilder();
    const x = builder.input('images', f32(batch, HEIGHT, WIDTH, CHANNELS));
    const labels = builder.input('labels', i32(batch));
    const initial = { kind: 'normal', std: 0.4 } as const;
    const w = builder.parameter('conv.weight', f32(3, 3, CHANNELS, FEATURES), { initial });
    const { y } = builder.emit(conv2d, { x, w }, padded(1), 'conv');
    const options = { eps: 1e-5, momentum: 0.1, activation: 'relu6', statistics, mode } as const;
    const features = batchNorm(builder, 'norm', y, options);
    const pixels = reshaped(builder, features, [batch, HEIGHT * WIDTH, FEATURES]);
    const pooled = builder.emit(meanTokens, { x: pixels }, {}, 'pool').y;
    const logits = linear(builder, 'head', pooled, CLASSES);
    const { loss } = builder.emit(
      softmaxCrossEntropy,
      { logits, labels },
      { smoothing: 0 },
      'loss',
    );
    return { graph: builder.build({ logits, loss }), blocks: [], tail: [], head: 'head.' };
  };
}

const tensorsOf = (statistics: Statistics, mode: Mode) =>
  checkpointed(network(statistics)(1, mode).graph);

/** Rows of `count` images from `start` on, [B, C, H, W] in the fixture, with their labels. */
function writeImages(executor: Executor, entry: string, start: number, count: number): void {
  const pixels = HEIGHT * WIDTH;
  const given = values(file, 'training.images');
  const images = new Float64Array(count * pixels * CHANNELS);
  for (let i = 0; i < images.length; i++) {
    const [image, pixel] = [start + Math.floor(i / CHANNELS / pixels), Math.floor(i / CHANNELS)];
    images[i] = given[(image * CHANNELS + (i % CHANNELS)) * pixels + (pixel % pixels)];
  }
  executor.write(`${entry}.images`, images);
  if (entry === 'eval') return;
  const labels = file.tensors.get('training.labels')?.toInt32() ?? new Int32Array();
  executor.write(`${entry}.labels`, labels.slice(start, start + count));
}

async function load(statistics: Statistics, options: Partial<CompileOptions>): Promise<Executor> {
  const program = compile({
    model: network(statistics),
    optimizer: sgd({ momentum: 0.9, weightDecay: 0.01 }),
    batch: BATCH,
    ...options,
  });
  const executor = await referenceExecutor.load(program);
  for (const { name } of tensorsOf(statistics, 'train')) {
    executor.write(name, values(file, `training.start.${name}`));
  }
  return executor;
}

async function expectTensors(executor: Executor, mode: string): Promise<void> {
  for (const { name } of tensorsOf('batch', 'train')) {
    expectClose(await executor.read(name), values(file, `training.${mode}.${name}`), EXACT, name);
  }
}

describe.each(['batch', 'frozen'] as const)('with %s statistics', (statistics) => {
  it('has the tensors of torch, the same in both modes', () => {
    const names = tensorsOf(statistics, 'train').map(({ name }) => name);
    const norm = ['weight', 'bias', 'running_mean', 'running_var'].map((key) => `norm.${key}`);
    expect(names).toEqual(['conv.weight', ...norm, 'head.weight', 'head.bias']);
    expect(tensorsOf(statistics, 'eval').map(({ name }) => name)).toEqual(names);
  });

  it.each(['all', 'exact'] as const)('trains as PyTorch does, saved: %s', async (saved) => {
    const executor = await load(statistics, { saved });
    const losses: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      writeImages(executor, 'step', step * BATCH, BATCH);
      executor.write('step.lr', Float64Array.of(RATE));
      await executor.run('step');
      losses.push((await executor.read('step.loss'))[0]);
    }
    expectClose(losses, values(file, `training.${statistics}.losses`), EXACT, 'losses');
    await expectTensors(executor, statistics);
    await executor.dispose();
  });

  it('evaluates with the running statistics and leaves them', async () => {
    const executor = await load(statistics, {});
    writeImages(executor, 'eval', 0, BATCH);
    await executor.run('eval');
    const names = ['norm.running_mean', 'norm.running_var'];
    for (const name of names) {
      expectClose(await executor.read(name), values(file, `training.start.${name}`), EXACT, name);
    }
    const logits = await executor.read('eval.logits');
    executor.write('norm.running_mean', new Float64Array(FEATURES).fill(3));
    writeImages(executor, 'eval', 0, BATCH);
    await executor.run('eval');
    expect(await executor.read('eval.logits')).not.toEqual(logits);
    await executor.dispose();
  });
});

it('leaves frozen statistics as they were', () => {
  for (const name of ['norm.running_mean', 'norm.running_var']) {
    const after = values(file, `training.frozen.${name}`);
    expect(after).toEqual(values(file, `training.start.${name}`));
  }
});

describe('several passes for an update', () => {
  it('normalise each with its own statistics, and each moves the running ones', async () => {
    const half = BATCH / 2;
    const executor = await load('batch', { batch: half, microBatches: 2 });
    const losses: number[] = [];
    for (let pass = 0; pass < 2 * STEPS; pass++) {
      writeImages(executor, 'micro', pass * half, half);
      await executor.run('micro');
      losses.push((await executor.read('micro.loss'))[0]);
      if (pass % 2 === 0) continue;
      executor.write('apply.lr', Float64Array.of(RATE));
      await executor.run('apply');
    }
    expectClose(losses, values(file, 'training.passes.losses'), EXACT, 'losses');
    await expectTensors(executor, 'passes');
    await executor.dispose();
  });

  it('are the same as slices of a pass', async () => {
    const executor = await load('batch', { slices: 2 });
    for (let step = 0; step < STEPS; step++) {
      writeImages(executor, 'step', step * BATCH, BATCH);
      executor.write('step.lr', Float64Array.of(RATE));
      await executor.run('step');
    }
    await expectTensors(executor, 'passes');
    await executor.dispose();
  });
});
