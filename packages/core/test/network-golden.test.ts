/**
 * Whole convolutional networks against PyTorch float64 on every executor, with the statistics of the batch and with
 * frozen ones: logits, loss, every gradient, and parameters and running statistics after three steps of SGD. The
 * fixtures (reference/networks_fixture.py) hold float64 results.
 */
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.js';
import { compile } from '../src/compile.js';
import { ConfigError } from '../src/errors.js';
import type { Executor, ExecutorKind } from '../src/executors/executor.js';
import type { SafetensorsFile } from '../src/formats/safetensors.js';
import { checkpointed, parameters, type Mode, type ModelGraph } from '../src/ir/graph.js';
import { buildModel, modelReader, type ModelConfig } from '../src/models/index.js';
import type { BatchNormStatistics } from '../src/models/options.js';
import { sgd } from '../src/optim/sgd.js';
import { fold } from '../src/passes/fold.js';
import { fuse } from '../src/passes/fuse.js';
import { prune } from '../src/passes/prune.js';
import type { SavedForm } from '../src/passes/saved.js';
import { plan } from '../src/plan/plan.js';
import type { Program } from '../src/program.js';
import { read } from '../src/schema/index.js';
import { EXECUTORS, FAST_EXECUTORS } from './executors.js';
import { expectClose, fixture, labels, metadata, values, type Tolerance } from './golden.js';
import { denseGradients } from './gradients.js';

const STEPS = 3;
const NETWORKS = ['squeeze', 'same', 'v3', 'basic', 'bottleneck'] as const;
const FILES = NETWORKS.map((name) => [name, committed(name)] as const);
const STATISTICS = ['batch', 'frozen'] as const;

/** The reference executor computes what PyTorch computes, in the same float64. */
const FLOAT64: Tolerance = { relative: 1e-8, absolute: 1e-11 };
/** Batch norms of 4 images divide by small deviations: gradients lose more digits than those of transformers. */
const FLOAT32: Tolerance = { relative: 1e-3, absolute: 3e-5 };

function committed(name: string): SafetensorsFile {
  const file = fixture(`../../../reference/fixtures/network-${name}.safetensors`);
  if (!file) throw new Error(`reference/fixtures/network-${name}.safetensors is missing`);
  return file;
}

/** What PyTorch's tensors of a mode are called in the file. */
const PREFIX: { readonly [S in BatchNormStatistics]: string } = {
  batch: 'train.',
  frozen: 'frozen.',
};

describe.each(EXECUTORS)('networks on $name', (kind) => {
  const tolerance = kind.name === 'reference' ? FLOAT64 : FLOAT32;

  describe.each(FILES)('%s', (_title, file) => {
    it.each(STATISTICS)('has the logits, loss and gradients of PyTorch, %s', async (statistics) => {
      const prefix = PREFIX[statistics];
      const model = modelOf(file, statistics);
      const executor = await kind.load(gradientProgram(model), { threads: 2 });
      writeTensors(executor, model, file);
      await runStep(executor, file);
      for (const name of ['logits', 'loss']) {
        const got = await executor.read(`step.${name}`);
        expectClose(got, values(file, prefix + name), tolerance, name);
      }
      for (const { name } of parameters(model.graph)) {
        const got = await executor.read(`step.grad.${name}`);
        expectClose(got, values(file, `${prefix}grad.${name}`), tolerance, `gradient of ${name}`);
      }
      await executor.dispose();
    });

    it.each(STATISTICS)('has the tensors of three steps of SGD, %s', async (statistics) => {
      const { executor, losses } = await trained(kind, file, { statistics });
      expectClose(losses, values(file, `${PREFIX[statistics]}losses`), tolerance, 'losses');
      for (const { name } of checkpointed(modelOf(file, statistics).graph)) {
        if (!isHeld(executor, name)) continue;
        const want = values(file, `${PREFIX[statistics]}after${String(STEPS)}.${name}`);
        expectClose(await executor.read(name), want, tolerance, name);
      }
      await executor.dispose();
    });
  });
});

describe.each(FAST_EXECUTORS)('networks on $name', (kind) => {
  it.each(FILES)('%s trains with the same bits on 1, 2 and 4 threads', async (_, file) => {
    const results = await Promise.all(
      [1, 2, 4].map((threads) => tensorsOf(kind, file, { threads })),
    );
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it.each(FILES)('%s has the same bits however much is recomputed', async (_, file) => {
    const all = await tensorsOf(kind, file, { saved: 'all' });
    expect(await tensorsOf(kind, file, { saved: 'exact' })).toEqual(all);
  });

  it.each(FILES)('%s trains on saved tensors in 8 bits', async (_, file) => {
    const exact = await trained(kind, file, {});
    for (const saved of ['compact', 'smallest'] as const) {
      const { losses, executor } = await trained(kind, file, { saved });
      // Some channels are three wide: a level of 8 bits is much of them.
      losses.forEach((loss, step) => {
        expect(Math.abs(loss - exact.losses[step])).toBeLessThan(0.3);
      });
      expect(losses[0]).toBe(exact.losses[0]);
      await executor.dispose();
    }
    await exact.executor.dispose();
  });
});

it('evaluates with the running statistics, and changes nothing', async () => {
  const [, file] = FILES[0];
  const model = (batch: number, mode: Mode) => modelOf(file, 'batch', mode, batch);
  const program = compile({ model, optimizer: sgd(), batch: 4, evalBatch: 4 });
  const executor = await EXECUTORS[0].load(program, { threads: 1 });
  writeTensors(executor, model(4, 'train'), file);
  executor.write('eval.images', values(file, 'input'));
  await executor.run('eval');
  const got = await executor.read('eval.logits');
  // Frozen statistics are those of evaluation.
  expectClose(got, values(file, 'frozen.logits'), FLOAT64, 'logits');
  for (const { name } of checkpointed(model(4, 'train').graph)) {
    const want = values(file, `weights.${name}`);
    expectClose(await executor.read(name), want, { relative: 0, absolute: 1e-30 }, name);
  }
  await executor.dispose();
});

describe('configurations', () => {
  const [config] = FILES.map(([, file]) => configOf(file));

  it.each([
    [{ imageSize: 3 }, 'imageSize: expected at least the stride of the network, 4 pixels, got 3'],
    [{ stages: [] }, 'stages'],
    [{ padding: 'valid' }, 'padding: expected symmetric or same, got "valid"'],
    [{ stem: { width: 8, activation: 'tanh' } }, 'stem.activation'],
    [{ stem: { width: 8, activation: { low: 6, high: 0 } } }, 'expected low below high'],
  ])('refuses %j', (changed, message) => {
    const odd = { ...config, ...changed } as ModelConfig;
    expect(() => buildModel(odd, { batch: 1 })).toThrow(ConfigError);
    expect(() => buildModel(odd, { batch: 1 })).toThrow(message);
  });
});

const DOCUMENT = { file: 'config', error: ConfigError, todo: 'none' };

function configOf(file: SafetensorsFile): ModelConfig {
  return read(metadata(file, 'config'), modelReader, DOCUMENT);
}

function modelOf(
  file: SafetensorsFile,
  batchNorm: BatchNormStatistics,
  mode: Mode = 'train',
  batch = labels(file).length,
): ModelGraph {
  return buildModel(configOf(file), { batch, mode, batchNorm });
}

/** Forward and backward pass with every gradient as an output. */
function gradientProgram(model: ModelGraph): Program {
  const { graph, gradients } = differentiate(model.graph, 'loss');
  const outputs = { ...graph.outputs };
  for (const [name, id] of denseGradients({ gradients })) outputs[`grad.${name}`] = id;
  return plan([{ name: 'step', graph: prune(fuse(fold({ ...graph, outputs }))) }]);
}

function isHeld({ program }: Executor, name: string): boolean {
  return program.slots.some((slot) => slot.name === name);
}

function writeTensors(executor: Executor, model: ModelGraph, file: SafetensorsFile): void {
  for (const { name } of checkpointed(model.graph)) {
    if (isHeld(executor, name)) executor.write(name, values(file, `weights.${name}`));
  }
}

async function runStep(executor: Executor, file: SafetensorsFile): Promise<void> {
  executor.write('step.images', values(file, 'input'));
  executor.write('step.labels', labels(file));
  await executor.run('step');
}

interface Choice {
  readonly statistics?: BatchNormStatistics;
  readonly saved?: SavedForm;
  readonly threads?: number;
}

async function trained(kind: ExecutorKind, file: SafetensorsFile, choice: Choice) {
  const { statistics = 'batch', saved = 'exact', threads = 2 } = choice;
  const number = (key: string) => Number(file.metadata.get(`sgd.${key}`) ?? 0);
  const optimizer = sgd({ momentum: number('momentum') });
  const model = modelOf(file, statistics);
  const batch = labels(file).length;
  const program = compile({ model: () => model, optimizer, batch, evalBatch: 0, saved });
  const executor = await kind.load(program, { threads });
  writeTensors(executor, model, file);
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

/** All tensors after three steps. */
async function tensorsOf(kind: ExecutorKind, file: SafetensorsFile, choice: Choice) {
  const { executor } = await trained(kind, file, choice);
  const tensors = [];
  for (const { name } of checkpointed(modelOf(file, 'batch').graph)) {
    if (isHeld(executor, name)) tensors.push([name, await executor.read(name)]);
  }
  await executor.dispose();
  return tensors;
}
