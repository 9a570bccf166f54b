/** Every peer that runs in Node computes the step that the reference executor computes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadJax } from '../peers/jax-js/jax.js';
import { trainingGraph } from '../peers/onnxruntime/training-graph.js';
import { loadNode } from '../peers/onnxruntime/node.js';
import { loadWeb } from '../peers/onnxruntime/web.js';
import { loadTfjs } from '../peers/tfjs/tfjs.js';
import {
  expectLosses,
  referenceLosses,
  TINY,
  TINY_MEAN,
  tinyWorkload,
  type TinyWorkload,
} from './tiny-step.js';

const PEERS = {
  'onnxruntime-node': loadNode,
  'onnxruntime-web': loadWeb,
  'jax-js': loadJax,
  tfjs: loadTfjs,
} as const;

describe.each([
  ['class token', TINY],
  ['mean', TINY_MEAN],
])('a training step, %s', (_, model) => {
  let workload: TinyWorkload;
  let losses: readonly number[] = [];
  beforeAll(async () => {
    workload = await tinyWorkload(model);
    losses = await referenceLosses(model, workload);
  });
  afterAll(() => workload.dispose());

  it.each(Object.entries(PEERS))('of %s has the reference’s losses', async (name, load) => {
    const runner = await load(workload.config);
    expect(runner.ready.version, name).toMatch(/^\d/u);
    await expectLosses(runner, losses);
  });

  it('of onnxruntime-node has them with momentum too, and without an arena', async () => {
    const config = { ...workload.config, momentum: 0.9, onnxruntime: { arena: false } };
    const expected = await referenceLosses(model, { ...workload, config });
    expect(Math.abs(expected[2] - losses[2])).toBeGreaterThan(1e-3);
    const runner = await loadNode(config);
    const plain = await loadNode(workload.config);
    expect(runner.ready.parameters).toBe(plain.ready.parameters);
    await plain.close();
    await expectLosses(runner, expected);
  });

  it('refuses weight decay in the ONNX graph', () => {
    expect(() => trainingGraph({ ...workload.config, weightDecay: 0.1 })).toThrow(
      'knows no weight decay',
    );
  });
});
