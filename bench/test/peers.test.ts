/** Every peer that runs in Node computes the step that the reference executor computes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadJax } from '../peers/jax-js/jax.js';
import { trainingGraph } from '../peers/onnxruntime/training-graph.js';
import { loadNode } from '../peers/onnxruntime/node.js';
import { loadWeb } from '../peers/onnxruntime/web.js';
import { loadTfjs } from '../peers/tfjs/tfjs.js';
import type { Workload } from '../steps/workload.js';
import { expectLosses, referenceLosses, TINY, TINY_MEAN, tinyWorkload } from './tiny-step.js';

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
  let workload: Workload;
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

  it('refuses momentum in the ONNX graph', () => {
    expect(() => trainingGraph({ ...workload.config, momentum: 0.9 })).toThrow(
      'SGD without momentum and weight decay only',
    );
  });
});
