/**
 * Importance against its definition: gradients that a step of SGD shows, central differences for the
 * label-free form, means over passes, the largest ratio of single images, bytes, executors and methods.
 */
import { describe, expect, it } from 'vitest';
import { compile, type ModelBuilder } from '../src/compile.js';
import { ConfigError, DataError } from '../src/errors.js';
import type { Executor, ExecutorKind } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { parameters, type Mode, type Parameter } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { bytesOf } from '../src/ir/types.js';
import { METHODS, parseMethod } from '../src/methods/index.js';
import { bind, type Method } from '../src/methods/method.js';
import { sgd } from '../src/optim/sgd.js';
import { simplify } from '../src/passes/simplify.js';
import { ALIGNMENT, persistentWrites } from '../src/program.js';
import type { Batch } from '../src/train/batch.js';
import { predictLogits } from '../src/train/evaluate.js';
import { isSelected, ratios } from '../src/unlearn/dampen.js';
import { Forgetter } from '../src/unlearn/forgetter.js';
import {
  importanceGraph,
  importanceProgram,
  type ImportanceOptions,
} from '../src/unlearn/importance.js';
import { FAST_EXECUTORS } from './executors.js';
import { expectClose, type Tolerance } from './golden.js';
import {
  fixedBatch,
  modelOf,
  randomWeights,
  SMALL,
  started,
  step,
  TINY,
  weightsOf,
} from './tiny-vit.js';

const FULL = parseMethod('full');
const MODEL = modelOf(TINY);
/** Sums of the same float64 numbers in another order. */
const REORDERED: Tolerance = { relative: 1e-9, absolute: 1e-13 };

interface Started {
  readonly executor: Executor;
  readonly forgetter: Forgetter;
}

/** A forgetter for the tiny model with random weights. */
async function forgetterOf(
  given: Partial<ImportanceOptions> & Pick<ImportanceOptions, 'images'>,
  kind: ExecutorKind = referenceExecutor,
): Promise<Started> {
  const options = {
    ...{ model: MODEL, method: FULL, pass: 1, evalBatch: 2, labelFree: false },
    ...given,
  };
  const model = options.method.forward(options.model(1, 'eval'));
  const executor = await started(kind, importanceProgram(options), model);
  return { executor, forgetter: new Forgetter(executor, model, options.pass) };
}

const PARAMETERS = parameters(FULL.forward(MODEL(1)).graph);

/** dL/dθ of a batch by name, as a step of plain SGD with η = 1 shows it. */
async function gradientsOf(batch: Batch): Promise<ReadonlyMap<string, Float64Array>> {
  const optimizer = sgd();
  const program = compile({ model: MODEL, optimizer, batch: batch.real, evalBatch: 0 });
  const model = FULL.forward(MODEL(1));
  const executor = await started(referenceExecutor, program, model);
  const before = await weightsOf(executor, model);
  await step(executor, optimizer, 1, 1, batch);
  const after = await weightsOf(executor, model);
  return new Map(
    Object.keys(before).map((name) => [
      name,
      Float64Array.from(before[name], (value, index) => value - after[name][index]),
    ]),
  );
}

function rowsOf({ images, labels }: Batch, from: number, count: number): Batch {
  const size = images.length / labels.length;
  return {
    images: images.slice(from * size, (from + count) * size),
    labels: labels.slice(from, from + count),
    real: count,
  };
}

async function forEachParameter(
  forgetter: Forgetter,
  body: (parameter: Parameter, forget: Float64Array, base: Float64Array) => void,
) {
  for (const parameter of PARAMETERS) {
    const { forget, base } = await forgetter.importance(parameter);
    body(parameter, Float64Array.from(forget), Float64Array.from(base));
  }
}

describe('by labels', () => {
  it('is the squared gradient of a pass, and the mean over passes of any sizes', async () => {
    const batch = fixedBatch(TINY, 5);
    const images = { forget: 3, base: 5 };
    const { forgetter } = await forgetterOf({ images, pass: 3 });
    const [whole, rest] = [rowsOf(batch, 0, 3), rowsOf(batch, 3, 2)];
    await forgetter.add('forget', whole);
    await forgetter.add('base', whole);
    await forgetter.add('base', rest);
    const gradients = [await gradientsOf(whole), await gradientsOf(rest)];
    await forEachParameter(forgetter, ({ name }, forget, base) => {
      const [a, b] = gradients.map((each) => each.get(name) ?? new Float64Array());
      expectClose(forget, a.map((g) => g * g), REORDERED, name); // prettier-ignore
      expectClose(base, a.map((g, i) => (g * g + b[i] * b[i]) / 2), REORDERED, name); // prettier-ignore
    });
  });

  it('of single images is the mean of their squares, in any order and any batches', async () => {
    const batch = fixedBatch(TINY, 4);
    const images = { forget: 4, base: 4 };
    const { forgetter } = await forgetterOf({ images });
    await forgetter.add('forget', batch);
    for (const row of [2, 0, 3, 1]) await forgetter.add('base', rowsOf(batch, row, 1));
    const gradients: ReadonlyMap<string, Float64Array>[] = [];
    for (let row = 0; row < 4; row++) gradients.push(await gradientsOf(rowsOf(batch, row, 1)));
    await forEachParameter(forgetter, ({ name }, forget, base) => {
      const squares = forget.map((_, i) =>
        gradients.reduce((sum, each) => sum + (each.get(name)?.[i] ?? NaN) ** 2 / 4, 0),
      );
      expectClose(forget, squares, REORDERED, name);
      expectClose(base, squares, REORDERED, name);
    });
  });

  it('does not depend on how often the same pass comes', async () => {
    const batch = fixedBatch(TINY, 2);
    const { forgetter } = await forgetterOf({ images: { forget: 2, base: 2 }, pass: 2 });
    await forgetter.add('forget', batch);
    for (let time = 0; time < 7; time++) await forgetter.add('base', batch);
    await forEachParameter(forgetter, ({ name }, forget, base) => {
      expectClose(base, forget, REORDERED, name);
    });
  });
});

describe('of single images', () => {
  it('is at most |D| / |D_f| times the importance of all', async () => {
    const all = fixedBatch(TINY, 6);
    const { forgetter } = await forgetterOf({ images: { forget: 2, base: 6 } });
    await forgetter.add('forget', rowsOf(all, 0, 2));
    await forgetter.add('base', all);
    let most = 0;
    await forEachParameter(forgetter, (_, forget, base) => {
      for (const ratio of ratios({ forget, base })) if (ratio > most) most = ratio;
    });
    expect(most).toBeGreaterThan(2.5);
    expect(most).toBeLessThanOrEqual(3 * (1 + 1e-12));
    const shares = await forgetter.shares(3 * (1 + 1e-12));
    expect(shares.reduce((sum, { selected }) => sum + selected, 0)).toBe(0);
  });

  it('selects nothing with α ≥ 1 where everything is to be forgotten', async () => {
    const all = fixedBatch(TINY, 3);
    const { forgetter } = await forgetterOf({ images: { forget: 3, base: 3 } });
    await forgetter.add('forget', all);
    await forgetter.add('base', all);
    expect((await forgetter.dampen({ alpha: 1, lambda: 1 })).size).toBe(0);
    expect((await forgetter.dampen({ alpha: 0.999, lambda: 1 })).size).toBeGreaterThan(0);
  });
});

it('without labels is the mean magnitude of the gradient of ‖f(x)‖²', async () => {
  const images = { forget: 2, base: 2 };
  const { executor, forgetter } = await forgetterOf({ images, pass: 2, labelFree: true });
  const batch = fixedBatch(TINY, 2);
  await forgetter.add('forget', batch);
  const norm = async () => {
    const logits = await predictLogits(executor, batch.images);
    return logits.reduce((sum: number, z: number) => sum + z * z, 0) / batch.real;
  };
  const checked = PARAMETERS.filter(({ name }) =>
    ['cls_token', 'blocks.0.attn.qkv.weight', 'norm.bias', 'head.weight'].includes(name),
  );
  expect(checked.length).toBe(4);
  const h = 1e-5;
  for (const parameter of checked) {
    const values = Float64Array.from(await executor.read(parameter.name));
    const differences = new Float64Array(values.length);
    for (let i = 0; i < values.length; i++) {
      const at = async (value: number) => {
        executor.write(parameter.name, values.map((old, j) => (j === i ? value : old))); // prettier-ignore
        return norm();
      };
      differences[i] = Math.abs((await at(values[i] + h)) - (await at(values[i] - h))) / (2 * h);
    }
    executor.write(parameter.name, values);
    const sums = await executor.read(`importance.forget.${parameter.name}`);
    // Central differences with h = 1e-5 are right to 1e-10 of values near 1.
    expectClose(sums, differences, { relative: 1e-7, absolute: 1e-8 }, parameter.name);
  }
});

describe('the program', () => {
  it('holds weights, two importances and one pass, to the byte', () => {
    const program = importanceProgram({
      ...{ model: modelOf(SMALL), method: FULL, labelFree: false },
      ...{ pass: 4, evalBatch: 4, images: { forget: 7, base: 12 } },
    });
    const { graph } = FULL.forward(modelOf(SMALL)(1));
    const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    const weights = parameters(graph).reduce((sum, { type }) => sum + aligned(bytesOf(type)), 0);
    const constants = program.slots.filter(({ role }) => role === 'constant');
    expect(constants.length).toBe(1); // dL/dL
    expect(program.persistentBytes).toBe(3 * weights + ALIGNMENT);
    // A pass takes what a step of training without momentum takes beside its weights, less its rate.
    const step = compile({ model: modelOf(SMALL), optimizer: sgd(), batch: 4 });
    const transient = program.arenaBytes - program.persistentBytes;
    expect(transient).toBeLessThanOrEqual(step.arenaBytes - step.persistentBytes);
    expect(program.arenaBytes).toMatchInlineSnapshot(`142144`);
    expect(program.entries.map(({ name }) => name)).toEqual([
      ...['eval', 'forget.4', 'forget.3', 'base.4'],
    ]);
  });

  it('is of the model for evaluation, and changes nothing but its sums', () => {
    const modes = new Set<Mode>();
    const model: ModelBuilder = (batch, mode) => {
      modes.add(mode);
      return MODEL(batch);
    };
    const images = { forget: 3, base: 5 };
    const options = { model, method: FULL, pass: 2, evalBatch: 2, labelFree: false, images };
    const program = importanceProgram(options);
    expect([...modes]).toEqual(['eval']);
    for (const entry of program.entries) {
      const set = entry.name.split('.')[0];
      for (const index of persistentWrites(program, entry)) {
        expect(program.slots[index].name).toMatch(new RegExp(`^importance\\.${set}\\.`));
      }
    }
  });

  it('adds each gradient where it is made', () => {
    const options = { model: MODEL, method: FULL, labelFree: false };
    const text = printGraph(simplify(importanceGraph(options, 'forget', 2)));
    const added = text.split('\n').filter((line) => line.startsWith('importance.head'));
    expect('\n' + added.join('\n')).toMatchInlineSnapshot(`
      "
      importance.head.weight: y f32[3,4] = accumulate_power(acc: importance.forget.head.weight, x: grad.head.matmul~2.y) {power: 2}
      importance.head.bias: y f32[3] = accumulate_power(acc: importance.forget.head.bias, x: grad.head.sum_rows.y) {power: 2}"
    `);
  });

  const all: readonly Method<unknown>[] = Object.values(METHODS);
  it.each(all)('knows the weights of $name in their own form', async (each) => {
    const model = modelOf(SMALL);
    const neutral = each.neutral(model(1));
    const method = bind(each, neutral ? neutral.config : each.parse(undefined));
    const images = { forget: 1, base: 1 };
    const { executor, forgetter } = await forgetterOf({ images, method, model });
    const batch = fixedBatch(SMALL, 1);
    await forgetter.add('forget', batch);
    await forgetter.add('base', batch);
    for (const { name: parameter } of parameters(method.forward(model(1)).graph)) {
      const sums = await executor.read(`importance.forget.${parameter}`);
      expect(sums.some((sum) => sum > 0), parameter).toBe(true); // prettier-ignore
    }
    const changes = await forgetter.dampen({ alpha: 0.5, lambda: 0.25 });
    for (const { indices } of changes.values()) expect(indices.length).toBeGreaterThan(0);
  });
});

it.each(FAST_EXECUTORS)('$name agrees with the reference', async (kind) => {
  const images = { forget: 3, base: 4 };
  for (const labelFree of [false, true]) {
    const options = { images, pass: 2, labelFree, model: modelOf(SMALL) };
    const exact = await forgetterOf(options);
    const fast = await forgetterOf(options, kind);
    const batch = fixedBatch(SMALL, 4);
    for (const { forgetter } of [exact, fast]) {
      await forgetter.add('forget', rowsOf(batch, 0, 2));
      await forgetter.add('forget', rowsOf(batch, 2, 1));
      await forgetter.add('base', rowsOf(batch, 0, 2));
      await forgetter.add('base', rowsOf(batch, 2, 2));
    }
    for (const parameter of parameters(FULL.forward(modelOf(SMALL)(1)).graph)) {
      const want = await exact.forgetter.importance(parameter);
      const got = await fast.forgetter.importance(parameter);
      // A square doubles the relative error of a gradient of a whole pass in float32.
      const tolerance = { relative: 2e-4, absolute: 1e-5 };
      expectClose(got.forget, want.forget, tolerance, parameter.name);
      expectClose(got.base, want.base, tolerance, parameter.name);
    }
    await fast.executor.dispose();
  }
});

describe('dampening', () => {
  it('shrinks what is selected, says what, and is undone to the bit', async () => {
    const { executor, forgetter } = await forgetterOf({ images: { forget: 1, base: 3 } });
    const all = fixedBatch(TINY, 3);
    await forgetter.add('forget', rowsOf(all, 0, 1));
    await forgetter.add('base', all);
    const before = randomWeights(FULL.forward(MODEL(1)));
    const alpha = await forgetter.automaticAlpha(0.9);
    const changes = await forgetter.dampen({ alpha, lambda: 1 });
    let [changed, known] = [0, 0];
    for (const parameter of PARAMETERS) {
      const { forget, base } = await forgetter.importance(parameter);
      const after = await executor.read(parameter.name);
      const old = before.get(parameter.name) ?? new Float32Array();
      after.forEach((value, i) => {
        const selected = isSelected(forget[i], base[i], alpha);
        if (forget[i] / base[i] < Infinity) known++;
        if (selected) changed++;
        expect(Math.abs(value - (selected ? (base[i] / forget[i]) * old[i] : old[i]))).toBeLessThan(
          1e-12,
        );
      });
    }
    // Nine tenths of the ratios lie below α, rounded by the one between which it lies.
    expect(Math.abs(changed - 0.1 * known)).toBeLessThanOrEqual(1);
    const shares = await forgetter.shares(alpha);
    expect(shares.map(({ group }) => group)).toEqual([
      ...['input', 'blocks.0', 'blocks.1', 'tail', 'head'],
    ]);
    expect(shares.reduce((sum, { selected }) => sum + selected, 0)).toBe(changed);
    await forgetter.restore(changes);
    for (const [name, old] of before)
      expect(Float32Array.from(await executor.read(name))).toEqual(old);
  });
});

describe('errors', () => {
  it('refuse a batch that no pass was compiled for', async () => {
    const { forgetter } = await forgetterOf({ images: { forget: 2, base: 4 }, pass: 2 });
    await expect(forgetter.add('base', fixedBatch(TINY, 1))).rejects.toThrow(DataError);
    await expect(forgetter.add('base', fixedBatch(TINY, 1))).rejects.toThrow(
      'importance of the base images: expected whole batches of 2 images, and what is left of the set ' +
        'at its end, got a batch of 1',
    );
  });

  it.each([
    [{ images: { forget: 0, base: 1 } }, 'images to forget: expected at least one, got 0'],
    [{ images: { forget: 1, base: 0 } }, 'images to compare with: expected at least one, got 0'],
    [
      { images: { forget: 1, base: 1 }, pass: 0.5 },
      'images of which the gradient is squared: expected a whole number',
    ],
  ])('refuse %j', (given, text) => {
    const options = { model: MODEL, method: FULL, pass: 1, evalBatch: 1, labelFree: false };
    expect(() => importanceProgram({ ...options, ...given })).toThrow(ConfigError);
    expect(() => importanceProgram({ ...options, ...given })).toThrow(text);
  });
});
