/** A step of a tiny vision transformer, for tests of peers, with the losses of the reference. */
import {
  compile,
  readSafetensors,
  referenceExecutor,
  sgd,
  vit,
  type VitConfig,
} from '@thimble/core';
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { StepRunner } from '../harness/serve-steps.js';
import type { StepConfig } from '../harness/step-protocol.js';
import { writeWorkload, type Workload } from '../steps/workload.js';

const STEPS = 3;
const BATCH = 3;
const LEARNING_RATE = 0.1;

export const TINY: VitConfig = {
  family: 'vit',
  ...{ imageSize: 8, patch: 4, channels: 3, width: 12, depth: 2, heads: 3, mlpRatio: 4 },
  ...{ classes: 5, pooling: 'token', classToken: true, layerNormEps: 1e-6 },
};

/** Pooling by the mean, without a class token. */
export const TINY_MEAN: VitConfig = { ...TINY, pooling: 'mean', classToken: false };

export async function tinyWorkload(model: VitConfig): Promise<TinyWorkload> {
  const turn = { learningRate: LEARNING_RATE, stepsPerTurn: 1 };
  const { config, dispose } = await writeWorkload(
    { name: 'tiny', model, batch: BATCH, ...turn },
    2,
  );
  const { model: shape } = config;
  if ('network' in shape) throw new Error('a transformer expected');
  return { config: { ...config, model: shape }, dispose };
}

/** Of a transformer, which all peers train. */
export interface TinyWorkload extends Workload {
  readonly config: StepConfig;
}

/** Losses of the float64 loops, with the momentum of the workload. */
export async function referenceLosses(
  model: VitConfig,
  { config }: Workload,
): Promise<readonly number[]> {
  const optimizer = sgd({ momentum: config.momentum });
  const build = (batch: number) => vit(model, { batch });
  const program = compile({ model: build, optimizer, batch: BATCH, evalBatch: 0 });
  const executor = await referenceExecutor.load(program, { threads: 1 });
  const { tensors } = readSafetensors(readFileSync(config.weights));
  for (const [name, view] of tensors) executor.write(name, view.toFloat32());
  const data = readSafetensors(readFileSync(config.data)).tensors;
  const losses: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    executor.write('step.images', data.get('images')?.toFloat32() ?? new Float32Array());
    executor.write('step.labels', data.get('labels')?.toInt32() ?? new Int32Array());
    executor.write('step.lr', Float32Array.of(LEARNING_RATE));
    await executor.run('step');
    losses.push((await executor.read('step.loss'))[0]);
  }
  await executor.dispose();
  return losses;
}

/** Expects the losses of a peer within 1e-4: fp32, sums in another order. */
export async function expectLosses(runner: StepRunner, expected: readonly number[]): Promise<void> {
  for (const loss of expected) {
    const [, got] = await runner.step();
    expect(Math.abs(got - loss)).toBeLessThanOrEqual(1e-4 * Math.abs(loss));
  }
  await runner.close();
}
