/**
 * Batch normalisation against PyTorch in float64: reference/fixtures/batch_norm.safetensors, written by
 * reference/batch_norm_fixture.py. The tests of all ops hold the executors to these references.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../src/errors.js';
import type { ExecutorKind, HostData } from '../src/executors/executor.js';
import { readSafetensors } from '../src/formats/safetensors.js';
import { f32 } from '../src/ir/types.js';
import {
  BATCH_NORM_ACTIVATIONS,
  type BatchNormActivation,
  type BatchNormParams,
} from '../src/ops/batch-norm-activation.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { OPS, type AnyOp } from '../src/ops/index.js';
import type { Data } from '../src/ops/op.js';
import { plan } from '../src/plan/plan.js';
import { Random } from '../src/random.js';
import { FAST_EXECUTORS } from './executors.js';
import { expectClose, metadata, values } from './golden.js';
import { dataOf, gradientGraph, gradientsOf, mapRecord, runReference } from './ops-evaluate.js';
import { typesOf } from './ops-evaluate.js';

const path = new URL('../../../reference/fixtures/batch_norm.safetensors', import.meta.url);
const file = readSafetensors(new Uint8Array(readFileSync(path)));
const CASES = [...file.metadata.keys()].flatMap((key) =>
  key.endsWith('.params') ? [key.slice(0, -'.params'.length)] : [],
);
const ACTIVATIONS = Object.keys(BATCH_NORM_ACTIVATIONS) as readonly BatchNormActivation[];
const EXACT = { relative: 1e-9, absolute: 1e-12 };

describe('references agree with PyTorch', () => {
  it('has a case for every activation with both statistics', () => {
    const expected = ACTIVATIONS.flatMap((name) => [`${name}.batch`, `${name}.frozen`]);
    expect([...CASES].sort()).toEqual(expected.sort());
  });

  it.each(CASES)('%s', (name) => {
    const read = (key: string) => values(file, `${name}.${key}`);
    const params = JSON.parse(metadata(file, `${name}.params`)) as BatchNormParams;
    const x = f32(...(file.tensors.get(`${name}.x`)?.shape ?? []));
    const channels = f32(x.shape[x.shape.length - 1]);
    const types = { x, mean: channels, variance: channels, gamma: channels, beta: channels };
    const statistics = params.batch
      ? runReference(OPS.batch_norm_statistics, { x: read('x') }, { x }, {})
      : { mean: read('running_mean'), variance: read('running_var') };
    const inputs: Record<string, Data> = { ...statistics };
    for (const key of ['x', 'gamma', 'beta']) inputs[key] = read(key);
    expectClose(runReference(OPS.batch_norm, inputs, types, params).y, read('out'), EXACT, 'out');
    const graph = gradientGraph(OPS.batch_norm, types, params, () => true);
    const gradients = gradientsOf(graph, inputs, { y: read('d_out') });
    expect(Object.keys(gradients).sort()).toEqual(['beta', 'gamma', 'x']);
    for (const [key, data] of Object.entries(gradients)) {
      expectClose(data, read(`d_${key}`), EXACT, `d_${key}`);
    }
    const moved = params.batch ? movedBy(statistics, read) : statistics;
    expectClose(moved.mean, read('running_mean_after'), EXACT, 'running mean');
    expectClose(moved.variance, read('running_var_after'), EXACT, 'running variance');
  });

  /** The running statistics after those of a batch of 3 · 4 · 5 values. */
  function movedBy(statistics: Record<string, Data>, read: (key: string) => Data) {
    const running = { runningMean: read('running_mean'), runningVariance: read('running_var') };
    const inputs = { ...statistics, ...running };
    const params = { momentum: Number(metadata(file, 'momentum')), count: 60 };
    const types = mapRecord(inputs, ({ length }) => f32(length));
    const moved = runReference(OPS.running_statistics, inputs, types, params);
    return { mean: moved.runningMeanOut, variance: moved.runningVarianceOut };
  }

  it.each(ACTIVATIONS)('at the kinks of %s', (name) => {
    const { value, slope } = BATCH_NORM_ACTIVATIONS[name];
    const at = Array.from(values(file, 'kinks.x'));
    expectClose(at.map(value), values(file, `kinks.${name}`), EXACT, 'values');
    expectClose(at.map(slope), values(file, `kinks.d_${name}`), EXACT, 'slopes');
  });
});

describe('what a gradient reads', () => {
  const x = f32(2, 3, 4);
  const channels = f32(4);
  const types = { x, mean: channels, variance: channels, gamma: channels, beta: channels };
  const nodes = (batch: boolean, activation: BatchNormActivation, wanted: readonly string[]) =>
    gradientGraph(OPS.batch_norm, types, { eps: 1e-5, batch, activation }, (key) =>
      wanted.includes(key),
    )
      .graph.nodes.slice(1)
      .map(({ op, inputs }) => [op, Object.keys(inputs).join(' ')]);

  it('is neither x nor the mean for a frozen norm without activation', () => {
    expect(nodes(false, 'none', ['x'])).toEqual([['batch_norm_grad_input', 'dy variance gamma']]);
  });

  it('is dy alone for β without activation', () => {
    expect(nodes(true, 'none', ['beta'])).toEqual([['sum_rows', 'x']]);
  });

  it('is both sums for x of a batch, whose own gradients nobody wants', () => {
    expect(nodes(true, 'relu', ['x']).map(([op]) => op)).toEqual([
      'batch_norm_grad_params',
      'batch_norm_grad_input',
    ]);
  });

  it('is nothing of dx for γ and β', () => {
    expect(nodes(true, 'relu', ['gamma', 'beta']).map(([op]) => op)).toEqual([
      'batch_norm_grad_params',
    ]);
  });
});

it('refuses the variance of one value', () => {
  const infer = () => OPS.batch_norm_statistics.infer({ x: f32(1, 1, 1, 8) }, {}, 'bn1.statistics');
  expect(infer).toThrow(ShapeError);
  expect(infer).toThrow(
    'bn1.statistics: expected two or more values of each channel, for their variance, ' +
      'got one in x of type f32[1,1,1,8]. ' +
      'Train on larger batches or images, or with frozen statistics.',
  );
});

async function runOp(
  kind: ExecutorKind,
  op: AnyOp,
  index: number,
  threads: number,
): Promise<Record<string, HostData>> {
  const sample = op.samples[index];
  return run(kind, op, sample.params, dataOf(op, sample), typesOf(sample), threads);
}

async function run(
  kind: ExecutorKind,
  op: AnyOp,
  params: AnyOp['samples'][number]['params'],
  data: Readonly<Record<string, Data>>,
  types: ReturnType<typeof typesOf>,
  threads: number,
): Promise<Record<string, HostData>> {
  const builder = new GraphBuilder();
  const inputs = mapRecord(types, (type, key) => builder.input(key, type));
  const program = plan([{ name: 'op', graph: builder.build(builder.emit(op, inputs, params)) }]);
  const executor = await kind.load(program, { threads });
  for (const [key, contents] of Object.entries(data)) executor.write(`op.${key}`, contents);
  await executor.run('op');
  const results: Record<string, HostData> = {};
  for (const key of Object.keys(program.entries[0].outputs)) {
    results[key] = await executor.read(`op.${key}`);
  }
  await executor.dispose();
  return results;
}

describe.each(FAST_EXECUTORS)('$name', (kind) => {
  it('keeps the digits of a variance beside a mean of 1000 deviations', async () => {
    const shape = [4, 1031, 5];
    const random = Random.of(4, 'far');
    const x = random.fillNormal(new Float32Array(4 * 1031 * 5), 1).map((value) => 1000 + value);
    const data = { x: Float64Array.from(x) };
    const types = { x: f32(...shape) };
    const want = runReference(OPS.batch_norm_statistics, data, types, {});
    const got = await run(kind, OPS.batch_norm_statistics, {}, data, types, 2);
    // Half a unit in the last place of the mean; float32 holds no more.
    expectClose(got.mean, want.mean, { relative: 6e-8, absolute: 0 }, 'mean');
    expectClose(got.variance, want.variance, { relative: 1e-6, absolute: 0 }, 'variance');
  });

  it('has the same bits on 1, 2 and 4 threads', async () => {
    const { batch_norm, batch_norm_grad_input, batch_norm_grad_params, batch_norm_statistics } =
      OPS;
    const last = (op: AnyOp) => op.samples.length - 1;
    for (const [op, index] of [
      [batch_norm, last(batch_norm)],
      [batch_norm_grad_input, last(batch_norm_grad_input)],
      [batch_norm_grad_params, 2],
      [batch_norm_grad_params, last(batch_norm_grad_params)],
      [batch_norm_statistics, 3],
      [batch_norm_statistics, 4],
    ] as const) {
      const one = await runOp(kind, op, index, 1);
      expect(await runOp(kind, op, index, 2)).toEqual(one);
      expect(await runOp(kind, op, index, 4)).toEqual(one);
    }
  });
});
