/**
 * Trains a model on arrays, with the core alone: no file is read or written, and the same code runs in a browser.
 *
 *   node examples/dist/in-memory.js
 */
import {
  adamw,
  buildModel,
  compile,
  cosine,
  initialise,
  memoryReport,
  modelConfig,
  parseMethod,
  Random,
  train,
  wasmExecutor,
  type Batch,
} from '@thimble/core';

const model = (batch: number) => buildModel({ ...modelConfig('vit-micro'), classes: 2 }, { batch });
const optimizer = adamw({ weightDecay: 0.05 });
const program = compile({ model, method: parseMethod('last-k=4'), optimizer, batch: 16 });
console.log(memoryReport(program, 2).peakBytes); // known before anything runs

const executor = await wasmExecutor.load(program, { threads: 2 });
initialise(executor, model(16), 0); // or loadWeights(…) from a checkpoint
const schedule = cosine({ peak: 1e-3, steps: 20 });
await train({ executor, optimizer, schedule, epochs: 5, batches, onEvent: console.log });
await executor.dispose();

/** Four batches of bright and dark noise: [16, 3, 32, 32] numbers, and a class for each image. */
function* batches(epoch: number): Generator<Batch> {
  const random = Random.of(0, 'noise', epoch);
  for (let batch = 0; batch < 4; batch++) {
    const images = random.fillNormal(new Float32Array(16 * 3 * 32 * 32));
    const labels = Int32Array.from({ length: 16 }, (_, row) => row % 2);
    const size = 3 * 32 * 32;
    const bright = (value: number, at: number) =>
      value + (labels[Math.floor(at / size)] ? 0.1 : -0.1);
    yield { images: images.map(bright), labels, real: 16 };
  }
}
