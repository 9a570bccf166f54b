/**
 * Training: the loop's events, its stops and its micro-batches, schedules, and weights in and out
 * of an executor.
 */
import { describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { compile, type CompileOptions } from '../src/compile.js';
import { CheckpointError, ConfigError, DataError, TrainingError } from '../src/errors.js';
import type { Executor } from '../src/executors/executor.js';
import { NullExecutor } from '../src/executors/null/index.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import type { Graph } from '../src/ir/graph.js';
import { f32 } from '../src/ir/types.js';
import { adamw } from '../src/optim/adamw.js';
import { sgd } from '../src/optim/sgd.js';
import type { Batch } from '../src/train/batch.js';
import { DivergenceCheck } from '../src/train/divergence.js';
import { evaluate } from '../src/train/evaluate.js';
import { train, type TrainEvent } from '../src/train/loop.js';
import { cosine } from '../src/train/schedule.js';
import { median } from '../src/train/statistics.js';
import {
  initialise,
  loadWeights,
  matchWeights,
  readWeights,
  type WeightSource,
} from '../src/train/weights.js';
import { fixedBatch, modelOf, randomWeights, started, TINY, weightsOf } from './tiny-vit.js';

const model = modelOf(TINY);
const optimizer = sgd({ momentum: 0.9 });
const constant = () => 0.05;

function load(options: Partial<CompileOptions> = {}): Promise<Executor> {
  return started(referenceExecutor, compile({ model, optimizer, batch: 3, ...options }), model(3));
}

/** `count` different batches. */
function batches(count: number, first = 0): readonly Batch[] {
  return Array.from({ length: count }, (_, index) => fixedBatch(TINY, 3, first + index));
}

/** Events without their times. */
function recorder() {
  const events: unknown[] = [];
  return {
    events,
    onEvent: (event: TrainEvent) => {
      const { event: kind, epoch, step } = event;
      events.push(`${kind} ${String(epoch)} ${String(step)}`);
    },
  };
}

describe('train', () => {
  it('lowers the loss, and reports steps, epochs and validation in order', async () => {
    const executor = await load();
    const { events, onEvent } = recorder();
    const losses: number[] = [];
    const rates: number[] = [];
    const result = await train({
      executor,
      optimizer,
      schedule: cosine({ peak: 0.1, steps: 6, warmupSteps: 2 }),
      epochs: 3,
      batches: () => batches(2),
      validation: () => batches(2),
      onEvent: (event) => {
        onEvent(event);
        if (event.event === 'step') rates.push(event.learningRate);
        else losses.push(event.loss, event.validation?.loss ?? NaN);
      },
    });
    expect(events).toEqual([
      'step 1 1',
      'step 1 2',
      'epoch 1 2',
      'step 2 3',
      'step 2 4',
      'epoch 2 4',
      'step 3 5',
      'step 3 6',
      'epoch 3 6',
    ]);
    expect(rates).toEqual([0, 1, 2, 3, 4, 5].map(cosine({ peak: 0.1, steps: 6, warmupSteps: 2 })));
    expect(losses[4]).toBeLessThan(losses[2]);
    expect(losses[2]).toBeLessThan(losses[0]);
    expect(result).toMatchObject({ steps: 6, loss: losses[4], aborted: false });
    expect(result.validation).toEqual(await evaluate(executor, batches(2)));
    expect(result.validation?.loss).toBe(losses[5]);
    expect(result.msPerStep).toBeGreaterThan(0);
  });

  it('says how long images were waited for', async () => {
    const slow = async function* () {
      for (const batch of batches(3)) {
        await sleep(20);
        yield batch;
      }
    };
    const waits: number[] = [];
    const epochs: number[] = [];
    const result = await train({
      ...{ executor: await load(), optimizer, schedule: constant, epochs: 2 },
      ...{ batches: slow, validation: slow },
      onEvent: (event) => {
        if (event.event === 'step') waits.push(event.waitMs);
        else epochs.push(event.waitSeconds);
      },
    });
    expect(waits.length).toBe(6);
    for (const ms of waits) expect(ms).toBeGreaterThan(15);
    // Three batches of training and as many of validation.
    expect(epochs[0]).toBeGreaterThan((waits[0] + waits[1] + waits[2]) / 1000 + 3 * 0.015);
    expect(result.waitSeconds).toBeCloseTo(epochs[0] + epochs[1], 9);
  });

  it('waits for nothing that is there', async () => {
    const waits: number[] = [];
    await train({
      ...{ executor: await load(), optimizer, schedule: constant, epochs: 1 },
      batches: () => batches(3),
      onEvent: (event) => {
        if (event.event === 'epoch') return;
        waits.push(event.waitMs);
        return sleep(20); // a slow listener is none of the images' fault
      },
    });
    expect(Math.min(...waits)).toBeLessThan(10);
  });

  it('counts epochs from 0 for the batches', async () => {
    const asked: number[] = [];
    const schedule = constant;
    const ask = (epoch: number) => {
      asked.push(epoch);
      return [];
    };
    const executor = await load();
    const result = await train({ executor, optimizer, schedule, epochs: 2, batches: ask });
    expect(asked).toEqual([0, 1]);
    expect(result).toMatchObject({ steps: 0, loss: NaN, validation: null, msPerStep: NaN });
  });

  it('stops at a loss that is not finite and names the step', async () => {
    const executor = await load();
    const poisoned = batches(3);
    poisoned[2].images[0] = NaN;
    const { events, onEvent } = recorder();
    const run = train({
      executor,
      optimizer,
      schedule: constant,
      epochs: 2,
      batches: () => poisoned,
      onEvent,
    });
    await expect(run).rejects.toThrow(TrainingError);
    await expect(run).rejects.toThrow(
      'step 3, epoch 1: expected a finite loss, got NaN. ' +
        'Lower the learning rate, or clip gradients.',
    );
    expect(events).toEqual(['step 1 1', 'step 1 2']);
  });

  it('ends after the current step when the signal says so', async () => {
    const controller = new AbortController();
    const { events, onEvent } = recorder();
    const options = { executor: await load(), optimizer, schedule: constant, epochs: 9 };
    const result = await train({
      ...options,
      batches: () => batches(3),
      validation: () => batches(1),
      onEvent: (event) => {
        onEvent(event);
        if (event.step === 4) controller.abort();
      },
      signal: controller.signal,
    });
    expect(events).toEqual(['step 1 1', 'step 1 2', 'step 1 3', 'epoch 1 3', 'step 2 4']);
    expect(result).toMatchObject({ steps: 4, aborted: true });
    const { signal } = controller;
    const again = await train({ ...options, batches: () => batches(3), signal });
    expect(again).toMatchObject({ steps: 0, aborted: true });
  });

  it('ends within validation too, and then reports neither the epoch nor what was counted', async () => {
    const controller = new AbortController();
    const { events, onEvent } = recorder();
    let measured = 0;
    const result = await train({
      ...{ executor: await load(), optimizer, schedule: constant, epochs: 9, onEvent },
      batches: () => batches(1),
      validation: function* () {
        for (const batch of batches(5)) {
          if (++measured === 7) controller.abort(); // the second batch of the second epoch
          yield batch;
        }
      },
      signal: controller.signal,
    });
    expect(measured).toBe(7);
    expect(events).toEqual(['step 1 1', 'epoch 1 1', 'step 2 2']);
    expect(result).toMatchObject({ steps: 2, aborted: true, validation: { images: 15 } });
  });

  it('carries incomplete micro-batches over to the next epoch', async () => {
    const executor = await load({ microBatches: 2 });
    const { events, onEvent } = recorder();
    // Epochs of three batches: steps of (0, 1), (2, 3), (4, 5).
    await train({
      executor,
      optimizer,
      schedule: constant,
      epochs: 2,
      batches: (epoch) => batches(3, 3 * epoch),
      onEvent,
    });
    expect(events).toEqual(['step 1 1', 'epoch 1 1', 'step 2 2', 'step 2 3', 'epoch 2 3']);
    const other = await load({ microBatches: 2 });
    const all = { executor: other, optimizer, schedule: constant, epochs: 1 };
    await train({ ...all, batches: () => batches(6) });
    expect(await weightsOf(executor, model(3))).toEqual(await weightsOf(other, model(3)));
  });

  it('runs what the program was compiled for: calls of each entry', async () => {
    const program = compile({ model, optimizer: adamw(), batch: 3, microBatches: 2 });
    const executor = new NullExecutor(program);
    initialise(executor, model(3), 1);
    const options = { executor, optimizer: adamw(), schedule: constant, epochs: 1 };
    await train({ ...options, batches: () => batches(5) });
    // Five of micro and two of apply.
    expect(executor.counts.runs).toBe(7);
  });

  it('drops the gradients of an update that no more batches came for', async () => {
    const trained = async (count: number) => {
      const executor = await load({ microBatches: 2 });
      const options = { executor, optimizer, schedule: constant, epochs: 1 };
      await train({ ...options, batches: () => batches(count) });
      await train({ ...options, batches: () => batches(2, 7) });
      return weightsOf(executor, model(3));
    };
    expect(await trained(3)).toEqual(await trained(2));
  });

  it.each([
    [
      'sgd with other settings',
      sgd({ momentum: 0.5 }),
      'got sgd {momentum: 0.5, weightDecay: 0, decay: matrices}',
    ],
    [
      'adamw',
      adamw(),
      'got adamw {beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, decay: matrices}',
    ],
  ])('refuses another optimizer than the program: %s', async (_title, other, got) => {
    const executor = await load();
    const before = await weightsOf(executor, model(3));
    const options = { executor, schedule: constant, epochs: 1, batches: () => batches(1) };
    const run = train({ ...options, optimizer: other });
    await expect(run).rejects.toThrow(ConfigError);
    await expect(run).rejects.toThrow(
      'train, option optimizer: expected sgd {momentum: 0.9, weightDecay: 0, decay: matrices}, ' +
        `which the program was compiled with, ${got}. ` +
        'Pass the same optimizer to compile and to train.',
    );
    expect(await weightsOf(executor, model(3))).toEqual(before);
    await train({ ...options, optimizer: { ...optimizer } });
  });

  it('refuses a program that was not compiled for training', async () => {
    const executor = await started(referenceExecutor, compile({ model, batch: 3 }), model(3));
    const options = { executor, optimizer, schedule: constant, epochs: 1 };
    await expect(train({ ...options, batches: () => batches(1) })).rejects.toThrow(
      'train, option executor: expected a program that was compiled for training, ' +
        'got one with the entries eval. Compile it with an optimizer.',
    );
  });

  it.each([NaN, Infinity, -1, 1e39])('refuses %d as a learning rate', async (rate) => {
    const executor = await load();
    const before = await weightsOf(executor, model(3));
    const options = { executor, optimizer, schedule: () => rate, epochs: 1 };
    await expect(train({ ...options, batches: () => batches(1) })).rejects.toThrow(
      `train, option schedule at step 0: expected a finite learning rate ≥ 0, got ${String(rate)}.`,
    );
    expect(await weightsOf(executor, model(3))).toEqual(before);
  });

  it.each<readonly [string, Partial<Batch>, string]>([
    ['padding', { real: 2 }, 'expected a batch of 3 images that all count, got 2 of them'],
    [
      'labels of another number of images',
      { labels: Int32Array.of(0, 1) },
      'expected 3 labels, one for each image, got 2',
    ],
    [
      'a label that is no class',
      { labels: Int32Array.of(0, 1, 3) },
      'expected labels from 0 to 2, got 3 at 2',
    ],
    [
      'a label below the first class',
      { labels: Int32Array.of(-1, 1, 2) },
      'expected labels from 0 to 2, got -1 at 0',
    ],
  ])('refuses %s', async (_title, change, message) => {
    const executor = await load();
    const before = await weightsOf(executor, model(3));
    const [good, bad] = batches(2);
    const run = train({
      ...{ executor, optimizer, schedule: () => 0, epochs: 1 },
      batches: () => [good, { ...bad, ...change }],
    });
    await expect(run).rejects.toThrow(DataError);
    await expect(run).rejects.toThrow(`step 2, epoch 1: ${message}.`);
    expect(await weightsOf(executor, model(3))).toEqual(before);
  });

  it('awaits a slow listener', async () => {
    const order: string[] = [];
    await train({
      executor: await load(),
      optimizer,
      schedule: (step) => {
        order.push(`schedule ${String(step)}`);
        return 0.1;
      },
      epochs: 1,
      batches: () => batches(2),
      onEvent: async ({ event, step }) => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        order.push(`${event} ${String(step)}`);
      },
    });
    expect(order).toEqual(['schedule 0', 'step 1', 'schedule 1', 'step 2', 'epoch 2']);
  });
});

describe('a run that diverges', () => {
  const program = compile({ model, optimizer, batch: 3 }); // three classes: ln 3 is 1.0986
  const check = (first: number | null = null) => new DivergenceCheck(program, () => first);

  it('is told at the end of an epoch, by the median of its last quarter', () => {
    const losses = [1.1, 4, 20, 33, 34, 40, 36, 1e6];
    expect(() => {
      check().training(losses, 'epoch 2');
    }).toThrow(
      'epoch 2: expected a training loss of at most 33.0, 30 times that of guessing or of the ' +
        'first update, got 36.0: the run has diverged. Lower the learning rate, or clip gradients.',
    );
  });

  it('is not one with outliers, a bad start, few updates or random labels', () => {
    const divergence = check();
    divergence.training([1.1, 1e30, 1.2, 1.1, 1e30, 1.3, 1.2], 'epoch 1');
    divergence.training([1e8, 1e6, 1e3, 60, 50, 20, 9, 4, 3, 3], 'epoch 2');
    divergence.training([32], 'epoch 3');
    divergence.training([], 'epoch 4');
    divergence.validation(12 * Math.log(3), 'epoch 4');
  });

  it('is compared with its first update where that was worse than guessing', () => {
    const divergence = check(20);
    divergence.training([20, 18, 25, 19, 21], 'epoch 1');
    divergence.training([599, 599, 599, 599, 599], 'epoch 2');
    expect(() => {
      divergence.training([601, 601, 601, 601, 601], 'epoch 3');
    }).toThrow(
      'a training loss of at most 600, 30 times that of guessing or of the first update, got 601',
    );
  });

  it('is told by its validation where only the last update broke the weights', () => {
    const divergence = check();
    divergence.training([1, 1, 1, 1, 1], 'epoch 1');
    for (const loss of [NaN, Infinity]) {
      expect(() => {
        divergence.validation(loss, 'validation of epoch 1');
      }).toThrow(`validation of epoch 1: expected a finite loss, got ${String(loss)}`);
    }
    expect(() => {
      divergence.validation(1.5e19, 'validation of epoch 1');
    }).toThrow(
      'at most 110, 100 times that of guessing or of the first update, got 1.50e+19: the run',
    );
  });

  it.each([
    ['an epoch', () => 3e3, undefined, 'epoch 1'],
    [
      'a validation',
      (step: number) => (step < 5 ? 0.01 : 3e4),
      undefined,
      'validation after step 6',
    ],
    ['an epoch that was cut', () => 3e3, 2, 'epoch 1'],
  ])('stops before %s is reported', async (_, schedule, abortAt, where) => {
    const controller = new AbortController();
    const { events, onEvent } = recorder();
    const run = train({
      ...{ executor: await load(), optimizer, schedule, epochs: 2 },
      batches: () => batches(6),
      validation: () => batches(2, 9),
      onEvent: (event) => {
        onEvent(event);
        if (event.step === abortAt) controller.abort();
      },
      signal: controller.signal,
    });
    await expect(run).rejects.toThrow(TrainingError);
    await expect(run).rejects.toThrow(new RegExp(`^${where}(, epoch 1)?: .*the run has diverged`));
    expect(events.filter((event) => String(event).startsWith('epoch'))).toEqual([]);
  });

  it('is what logits that are no numbers mean in a validation', async () => {
    const executor = await load();
    const read = executor.read.bind(executor);
    executor.read = async (name) => {
      const data = await read(name);
      return name === 'eval.logits' ? data.fill(NaN) : data;
    };
    const run = train({
      ...{ executor, optimizer, schedule: () => 0.01, epochs: 1 },
      batches: () => batches(2),
      validation: () => batches(1, 9),
    });
    await expect(run).rejects.toThrow(TrainingError);
    await expect(run).rejects.toThrow(
      'validation after step 2, epoch 1: expected a finite loss, got a logit of NaN at element 0.',
    );
  });
});

describe('cosine', () => {
  it('rises linearly and falls along half a cosine', () => {
    const rates = Array.from({ length: 8 }, (_, t) =>
      cosine({ peak: 2, steps: 6, warmupSteps: 2, final: 0.1 })(t),
    );
    // f + (1 − f)·½(1 + cos πt) with t = 0, ¼, ½, ¾, 1, 1; times 2.
    const fall = [1, (1 + Math.SQRT1_2) / 2, 0.5, (1 - Math.SQRT1_2) / 2, 0, 0];
    const want = [1, 2, ...fall.map((height) => 2 * (0.1 + 0.9 * height))];
    rates.forEach((rate, t) => expect(rate).toBeCloseTo(want[t], 14));
  });

  it('falls to zero without warm-up unless told otherwise', () => {
    const schedule = cosine({ peak: 1, steps: 2 });
    [1, 0.5, 0].forEach((rate, t) => expect(schedule(t)).toBeCloseTo(rate, 15));
    expect(cosine({ peak: 1, steps: 1, warmupSteps: 1 })(0)).toBe(1);
  });

  it.each<readonly [{ peak: number; steps: number }, string]>([
    [{ peak: 0, steps: 1 }, 'schedule, learning rate: expected a number > 0, got 0.'],
    [{ peak: NaN, steps: 1 }, 'schedule, learning rate: expected a number > 0, got NaN.'],
    [{ peak: 1, steps: 0 }, 'schedule, steps: expected at least 1, got 0.'],
  ])('refuses %o', (options, message) => {
    expect(() => cosine(options)).toThrow(ConfigError);
    expect(() => cosine(options)).toThrow(`${message} Change the option.`);
  });
});

describe('loadWeights', () => {
  const weights = randomWeights(model(1), 9);
  const shapes = new Map(
    model(1).graph.values.map((value) => [value.name, value.type.shape] as const),
  );
  const source = (changes: Readonly<Record<string, readonly number[] | null>>): WeightSource => {
    const entries = [...weights.keys()].map((name) => [name, shapes.get(name) ?? []] as const);
    const found = new Map<string, readonly number[]>(entries);
    for (const [name, shape] of Object.entries(changes)) {
      if (shape) found.set(name, shape);
      else found.delete(name);
    }
    return {
      name: 'a.safetensors',
      shapes: found,
      read: (name) => weights.get(name) ?? new Float32Array(),
    };
  };

  it('loads every tensor', async () => {
    const executor = await load();
    const report = loadWeights(executor, model(3), source({}), 1);
    expect(report).toEqual({ loaded: weights.size, replaced: [], resized: [], unused: [] });
    for (const { name, shape, data } of await readWeights(executor, model(3))) {
      expect(shape).toEqual(shapes.get(name));
      expect(Float32Array.from(data), name).toEqual(weights.get(name));
    }
  });

  it('starts a classifier of another size at zero and lists what it did not use', async () => {
    const executor = await load();
    const file = source({ 'head.weight': [1000, 4], 'head.bias': [1000], 'head_dist.bias': [3] });
    expect(loadWeights(executor, model(3), file, 1)).toEqual({
      loaded: weights.size - 2,
      replaced: ['head.weight', 'head.bias'],
      resized: [],
      unused: ['head_dist.bias'],
    });
    expect([...(await executor.read('head.weight'))]).toEqual(new Array(12).fill(0));
    expect(Float32Array.from(await executor.read('norm.bias'))).toEqual(weights.get('norm.bias'));
  });

  it('starts a classifier that the file lacks at zero', async () => {
    const file = source({ 'head.weight': null, 'head.bias': null });
    const { replaced } = loadWeights(await load(), model(3), file, 1);
    expect(replaced).toEqual(['head.weight', 'head.bias']);
  });

  it.each([
    [
      { 'norm.bias': null, 'blocks.0.norm1.weight': null },
      'a.safetensors: expected all 32 tensors of the model, got 2 missing: ' +
        'blocks.0.norm1.weight, norm.bias. Choose the model that the checkpoint was made for.',
    ],
    [
      { pos_embed: [1, 190, 4] },
      'a.safetensors, tensor pos_embed: expected shape [1, 5, 4], got [1, 190, 4]. ' +
        'Choose the model and the image size that the checkpoint was made for.',
    ],
    [
      { 'head.weight': [3, 8] },
      'a.safetensors, tensor head.weight: expected shape [3, 4], got [3, 8]. ' +
        'Choose the model and the image size that the checkpoint was made for.',
    ],
  ])('writes nothing when the file does not fit: %o', async (changes, message) => {
    const executor = await load();
    const before = await weightsOf(executor, model(3));
    const run = () => loadWeights(executor, model(3), source(changes), 1);
    expect(run).toThrow(CheckpointError);
    expect(run).toThrow(message);
    expect(await weightsOf(executor, model(3))).toEqual(before);
  });

  it('says what to do with weights in another form or of another rank', () => {
    const factor = (
      side: 'left' | 'right',
      shape: readonly number[],
      form = 'low-rank' as const,
    ) => ({
      id: 0,
      name: `w.${side}`,
      type: f32(...shape),
      source: {
        kind: 'parameter' as const,
        trainable: true,
        decay: true,
        initial: { kind: 'zeros' as const },
        factor: { weight: 'w', side, form },
      },
    });
    const graph = (values: Graph['values']) => ({
      ...model(1),
      graph: { values, nodes: [], outputs: {} },
    });
    const pair = graph([factor('left', [8, 2]), factor('right', [2, 4])]);
    const initial = { kind: 'zeros' } as const;
    const source = { kind: 'parameter', trainable: true, decay: true, initial } as const;
    const whole = graph([{ id: 0, name: 'w', type: f32(8, 4), source }]);
    const file = (entries: Readonly<Record<string, readonly number[]>>): WeightSource => ({
      name: 'a.safetensors',
      shapes: new Map(Object.entries(entries)),
      read: () => new Float32Array(),
    });
    const factors = (rank: number) => file({ 'w.left': [8, rank], 'w.right': [rank, 4] });
    expect(matchWeights(pair, factors(2), 1).report.loaded).toBe(2);
    expect(() => matchWeights(pair, factors(3), 1)).toThrow(
      'a.safetensors, tensor w: expected factors of rank 2, got rank 3. ' +
        'Compile with the ranks of the run that saved it, or start again from the dense weights.',
    );
    expect(() => matchWeights(pair, file({ w: [8, 4] }), 1)).toThrow(
      'a.safetensors, tensor w: expected factors of rank 2, got a dense weight. ' +
        'Prepare the weights for the method, which factors them, or use a method without factors.',
    );
    expect(() => matchWeights(whole, factors(2), 1)).toThrow(
      'a.safetensors, tensor w: expected a dense weight, got factors of rank 2. ' +
        'Use the method and the ranks of the run that saved it (its run folder has both).',
    );
  });

  it('initialises by seed and name', async () => {
    const [one, same, other] = await Promise.all([load(), load(), load()]);
    initialise(one, model(3), 1);
    initialise(same, model(3), 1);
    initialise(other, model(3), 2);
    expect(await weightsOf(one, model(3))).toEqual(await weightsOf(same, model(3)));
    expect(await one.read('pos_embed')).not.toEqual(await other.read('pos_embed'));
    expect([...(await one.read('norm.weight'))]).toEqual([1, 1, 1, 1]);
  });
});

it('median', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([10, 9])).toBe(9.5);
  expect(median([])).toBeNaN();
});
