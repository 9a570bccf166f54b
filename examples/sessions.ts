/**
 * A training run in memory that stops in the middle of an epoch and goes on elsewhere, to the same bits.
 *
 *   node examples/dist/sessions.js
 */
import {
  buildModel,
  compile,
  cosine,
  initialise,
  modelConfig,
  Random,
  Session,
  sgd,
  train,
  wasmExecutor,
  type Batch,
} from '@thimble/core';
import { isDeepStrictEqual } from 'node:util';

const model = (batch: number) => buildModel({ ...modelConfig('vit-micro'), classes: 2 }, { batch });
const optimizer = sgd({ momentum: 0.9 });
const program = compile({ model, optimizer, batch: 8 });
const schedule = cosine({ peak: 1e-2, steps: 8 });
const load = async () => {
  const executor = await wasmExecutor.load(program, { threads: 1 });
  initialise(executor, model(8), 0);
  return executor;
};

const [executor, another, whole] = [await load(), await load(), await load()];
const controller = new AbortController();
const onEvent = ({ step }: { step: number }) => {
  if (step === 3) controller.abort();
};
const { signal } = controller;

const session = Session.of({ executor, optimizer, seed: 0 });
await train({ session, schedule, epochs: 2, batches, onEvent, signal });
const { progress, tensors } = await session.snapshot(); // JSON, and every tensor that lives across steps

const other = Session.of({ executor: another, optimizer, seed: 0 }); // the same program, perhaps elsewhere
await other.restore({ progress, tensors });
await train({ session: other, schedule, epochs: 2, batches });

const uninterrupted = Session.of({ executor: whole, optimizer, seed: 0 });
await train({ session: uninterrupted, schedule, epochs: 2, batches });
console.log(`stopped after ${progress.step} updates, done after ${other.step}`);
const [ours, theirs] = [await other.snapshot(), await uninterrupted.snapshot()];
console.log(`same bits: ${isDeepStrictEqual(ours.tensors, theirs.tensors)}`);
await Promise.all([executor, another, whole].map((each) => each.dispose()));

/** One epoch, from batch number `from` on: above 0 where an epoch goes on in its middle. */
function batches(epoch: number, from: number): readonly Batch[] {
  const labels = Int32Array.from({ length: 8 }, (_, row) => row % 2);
  const all = [0, 1, 2, 3].map((batch) => {
    const random = Random.of(0, 'noise', epoch, batch);
    return { images: random.fillNormal(new Float32Array(8 * 3 * 32 * 32)), labels, real: 8 };
  });
  return all.slice(from);
}
