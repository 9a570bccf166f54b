/** The process of one contestant of the inference benchmark. Speaks protocol.ts. */
import '../harness/small-process.js';
import { readSafetensors } from '@thimble/core';
import { readFileSync } from 'node:fs';
import { env } from 'onnxruntime-node';
import { onnxRunner, ownRunner, readModel, type Runner } from '../export/contestants.js';
import { answerLines } from '../harness/json-answers.js';
import { peakBytes } from '../harness/peak-bytes.js';
import { BATCHES, type InferenceConfig, type InferenceRequest } from './protocol.js';

interface Loaded {
  readonly runner: Runner;
  readonly images: Float32Array;
}

/** Loaded by the first line. */
const state: { loaded?: Loaded } = {};
await answerLines(async (request) => {
  if (state.loaded) return infer(state.loaded, request as InferenceRequest);
  const config = request as InferenceConfig;
  const images = readSafetensors(readFileSync(config.data)).tensors.get('images');
  if (!images) throw new Error(`${config.data}: no images`);
  const runner = await runnerOf(config);
  state.loaded = { runner, images: images.toFloat32() };
  const version = config.runner === 'thimble' ? '' : (env.versions.node ?? '');
  return { ready: true, version };
});
await state.loaded?.runner.close();

function runnerOf({ runner, model, side, threads }: InferenceConfig): Promise<Runner> {
  return runner === 'thimble'
    ? ownRunner(readModel(model), BATCHES, threads)
    : onnxRunner(model, side, BATCHES, threads);
}

async function infer({ runner, images }: Loaded, { infer: wanted }: InferenceRequest) {
  const { batch, repeat } = wanted;
  const pixels = images.subarray(0, (images.length / BATCHES[1]) * batch);
  const ms: number[] = [];
  let logits: readonly number[] = [];
  for (let pass = 0; pass < repeat; pass++) {
    const started = performance.now();
    const result = await runner.logits(pixels, batch);
    ms.push(performance.now() - started);
    logits = [...result];
  }
  return { ms, logits, rssPeakBytes: peakBytes() };
}
