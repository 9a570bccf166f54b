/**
 * Factored training of SMALL from given dense weights: the starting values and the losses of some steps.
 */
import { compile } from '../src/compile.js';
import type { Executor, ExecutorKind, HostData } from '../src/executors/executor.js';
import type { ModelGraph } from '../src/ir/graph.js';
import { linears } from '../src/methods/linears.js';
import type { BoundMethod } from '../src/methods/method.js';
import type { VitConfig } from '../src/models/vit/model.js';
import type { Optimizer } from '../src/optim/optimizer.js';
import { decomposed, matrix } from './dense.js';
import { fixedBatch, modelOf, randomWeights, SMALL, step, writeScalars } from './tiny-vit.js';

/** The random weights of the dense model, decomposed where `model` has factors. */
export function startingWeights(
  config: VitConfig,
  model: ModelGraph,
): ReadonlyMap<string, HostData> {
  const dense = randomWeights(modelOf(config)(1));
  const weights = new Map<string, HostData>(randomWeights(model));
  for (const [name, data] of dense) if (weights.has(name)) weights.set(name, data);
  for (const { weight, outputs, inputs, form } of linears(model, 'all')) {
    if (form.kind !== 'low-rank') continue;
    const w = matrix(outputs, inputs, dense.get(weight) ?? []);
    const { left, right } = decomposed(w, form.right.type.shape[0]);
    weights.set(form.left.name, left.data);
    weights.set(form.right.name, right.data);
  }
  return weights;
}

export interface RunOptions {
  readonly clipNorm?: number;
  readonly microBatches?: number;
  readonly threads?: number;
}

/** Losses of steps on a fixed batch. */
export async function losses(
  kind: ExecutorKind,
  method: BoundMethod,
  steps: number,
  optimizer: Optimizer,
  { threads = 2, ...options }: RunOptions = {},
): Promise<readonly number[]> {
  const model = modelOf(SMALL);
  const program = compile({ model, method, optimizer, batch: 3, evalBatch: 0, ...options });
  const executor = await kind.load(program, { threads });
  const weights = startingWeights(SMALL, method.forward(model(3)));
  for (const [name, data] of weights) executor.write(name, data);
  if (program.entries.some(({ name }) => name === 'start')) {
    executor.write('start.images', fixedBatch(SMALL, 3).images);
    await executor.run('start');
  }
  const seen: number[] = [];
  for (let number = 1; number <= steps; number++) {
    seen.push(
      options.microBatches === undefined
        ? await step(executor, optimizer, number, 0.03, fixedBatch(SMALL, 3))
        : await microStep(executor, optimizer, number, options.microBatches),
    );
  }
  await executor.dispose();
  return seen;
}

/** Different batches, averaged; the loss of the last. */
async function microStep(
  executor: Executor,
  optimizer: Optimizer,
  number: number,
  microBatches: number,
): Promise<number> {
  for (let part = 0; part < microBatches; part++) {
    const { images, labels } = fixedBatch(SMALL, 3, part);
    executor.write('micro.images', images);
    executor.write('micro.labels', labels);
    await executor.run('micro');
  }
  // The next entry reuses the memory of this one's outputs.
  const [loss] = await executor.read('micro.loss');
  writeScalars(executor, 'apply', optimizer, number, 0.03);
  await executor.run('apply');
  return loss;
}
