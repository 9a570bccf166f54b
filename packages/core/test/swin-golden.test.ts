/**
 * A whole Swin transformer against PyTorch float64 on every executor: logits, loss, every gradient, and
 * the parameters after three steps of SGD. The fixtures (reference/swin_fixture.py) hold float64 results.
 */
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.js';
import { compile } from '../src/compile.js';
import type { Executor, ExecutorKind } from '../src/executors/executor.js';
import type { SafetensorsFile } from '../src/formats/safetensors.js';
import { parameters, type ModelGraph } from '../src/ir/graph.js';
import { swin } from '../src/models/swin/model.js';
import { sgd } from '../src/optim/sgd.js';
import { fold } from '../src/passes/fold.js';
import { fuse } from '../src/passes/fuse.js';
import { prune } from '../src/passes/prune.js';
import { plan } from '../src/plan/plan.js';
import type { Program } from '../src/program.js';
import { EXECUTORS, FAST_EXECUTORS } from './executors.js';
import {
  expectClose,
  fixture,
  FLOAT32,
  labels,
  metadata,
  swinConfigOf,
  values,
  writeWeights,
  type Tolerance,
} from './golden.js';
import { denseGradients } from './gradients.js';

const STEPS = 3;

/** The reference executor computes what PyTorch computes, in the same float64. */
const FLOAT64: Tolerance = { relative: 1e-9, absolute: 1e-12 };

const FIXTURES = [
  ['shifted windows', committed('shifted')],
  ['a stage of one window', committed('whole')],
] as const;

function committed(name: string): SafetensorsFile {
  const file = fixture(`../../../reference/fixtures/swin-${name}.safetensors`);
  if (!file) throw new Error(`reference/fixtures/swin-${name}.safetensors is missing`);
  return file;
}

describe.each(EXECUTORS)('Swin on $name', (kind) => {
  const tolerance = kind.name === 'reference' ? FLOAT64 : FLOAT32;

  describe.each(FIXTURES)('%s', (_title, file) => {
    it('has the logits, loss and gradients of PyTorch', async () => {
      const executor = await kind.load(gradientProgram(file), { threads: 2 });
      writeWeights(executor, model(file), file);
      await runStep(executor, file);
      for (const name of ['logits', 'loss']) {
        expectClose(await executor.read(`step.${name}`), values(file, name), tolerance, name);
      }
      for (const { name } of parameters(model(file).graph)) {
        const got = await executor.read(`step.grad.${name}`);
        expectClose(got, values(file, `grad.${name}`), tolerance, `gradient of ${name}`);
      }
      await executor.dispose();
    });

    it('has the losses and parameters of three steps of SGD', async () => {
      const { executor, losses } = await trained(kind, file, 2);
      expectClose(losses, values(file, 'sgd.losses'), tolerance, 'losses');
      for (const { name } of parameters(model(file).graph)) {
        const want = values(file, `sgd.after${String(STEPS)}.${name}`);
        expectClose(await executor.read(name), want, tolerance, name);
      }
      await executor.dispose();
    });
  });
});

describe.each(FAST_EXECUTORS)('Swin on $name', (kind) => {
  it('trains with the same bits on 1, 2 and 4 threads', async () => {
    const file = FIXTURES[0][1];
    const results = await Promise.all(
      [1, 2, 4].map(async (threads) => {
        const { executor } = await trained(kind, file, threads);
        const weights = [];
        for (const { name } of parameters(model(file).graph)) {
          weights.push([name, await executor.read(name)]);
        }
        await executor.dispose();
        return weights;
      }),
    );
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});

function model(file: SafetensorsFile): ModelGraph {
  const smoothing = Number(metadata(file, 'smoothing'));
  return swin(swinConfigOf(file), { batch: labels(file).length, smoothing });
}

/** Forward and backward pass with every gradient as an output. */
function gradientProgram(file: SafetensorsFile): Program {
  const { graph, gradients } = differentiate(model(file).graph, 'loss');
  const outputs = { ...graph.outputs };
  for (const [name, id] of denseGradients({ gradients })) outputs[`grad.${name}`] = id;
  return plan([{ name: 'step', graph: prune(fuse(fold({ ...graph, outputs }))) }]);
}

async function runStep(executor: Executor, file: SafetensorsFile): Promise<void> {
  executor.write('step.images', values(file, 'input'));
  executor.write('step.labels', labels(file));
  await executor.run('step');
}

async function trained(kind: ExecutorKind, file: SafetensorsFile, threads: number) {
  const number = (key: string) => Number(file.metadata.get(`sgd.${key}`) ?? 0);
  const optimizer = sgd({
    momentum: number('momentum'),
    nesterov: file.metadata.get('sgd.nesterov') === 'True',
    weightDecay: number('weight_decay'),
    decay: 'all',
  });
  const program = compile({ model: () => model(file), optimizer, batch: labels(file).length });
  const executor = await kind.load(program, { threads });
  writeWeights(executor, model(file), file);
  const losses: number[] = [];
  for (let step = 1; step <= STEPS; step++) {
    for (const [input, data] of Object.entries(optimizer.scalars(step, number('lr')))) {
      executor.write(`step.${input}`, data);
    }
    await runStep(executor, file);
    losses.push((await executor.read('step.loss'))[0]);
  }
  return { executor, losses };
}
