/** A run in memory: its record and its weights, in agreement, to be changed by tests. */
import {
  buildModel,
  NO_RANKS,
  parameters,
  parseMethod,
  type Found,
  type ModelConfig,
  type Ranks,
} from '@thimble/core';
import { checkpointMetadata, type OpenCheckpoint } from '../src/weights/checkpoint.js';
import { formMetadata } from '../src/run/form.js';
import type { RunRecord } from '../src/run/record.js';
import { PICTURES, TINY } from './tiny-models.js';

export const CLASSES = ['cat', 'dog', 'owl'];

export interface RunCase {
  readonly record: RunRecord;
  readonly checkpoint: Pick<OpenCheckpoint, 'name' | 'metadata' | 'shapes' | 'read'>;
}

/** A run of a method with ranks. */
export function runCase(
  text: string,
  ranks: Ranks = NO_RANKS,
  config: ModelConfig = TINY,
): RunCase {
  const found = { ranks };
  const method = parseMethod(text).with(found);
  const form = method.forward(buildModel(config, { batch: 1 }));
  const model = { name: 'tiny', config };
  const shapes = new Map(parameters(form.graph).map(({ name, type }) => [name, type.shape]));
  const metadata = new Map([
    ...checkpointMetadata(model, CLASSES, PICTURES),
    ...formMetadata(method, form, found, 4),
  ]);
  const read = () => new Float32Array();
  const checkpoint = { name: 'run/model.safetensors', metadata, shapes, read };
  return { record: recordOf(model, method.text, found), checkpoint };
}

function recordOf(model: RunRecord['model'], method: string, found: Found): RunRecord {
  return {
    ...{ model, method, found, saved: 'exact', classes: CLASSES, preprocess: PICTURES },
    memory: { budget: 5e8, besidePlan: 1e8, givenUp: ['compact'] },
    optimizer: { name: 'sgd', settings: { momentum: 0.9 } },
    ...{ augment: 'light', learningRate: 0.01, warmupSteps: 1, smoothing: 0, clip: null },
    ...{ batch: 8, microBatches: 2, epochs: 2, seed: 0, init: 'tiny' },
    origin: {
      ...{ from: 'a/b', description: 'ViT', hub: { name: 'a/b', commit: 'c'.repeat(40) } },
      files: [{ file: 'model.safetensors', sha256: 'a'.repeat(64) }],
    },
    data: { from: 'photos', validationFrom: 'held', trainImages: 8, validationImages: 4 },
    executor: { name: 'wasm', detail: 'fma', threads: 1 },
    status: 'done',
    files: { 'model.safetensors': 'b'.repeat(64) },
    history: [
      { epoch: 1, step: 0, trainLoss: null, accuracy: 0.5, loss: 1.5, seconds: 1 },
      { epoch: 2, step: 1, trainLoss: 1.5, accuracy: 0.75, loss: 1.25, seconds: 1 },
    ],
  };
}

/** The text of run.json. */
export function recordText(record: object): string {
  return JSON.stringify({ format: 'thimble-run', version: 1, thimble: '0.1.0', ...record });
}
