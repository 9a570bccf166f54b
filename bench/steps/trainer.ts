/**
 * A training step of Thimble as the benchmark runs it: program, weights and batch in one executor.
 */
import {
  buildModel,
  compile,
  entryFlops,
  entryNamed,
  modelConfig,
  parameters,
  plannedBytes,
  readSafetensors,
  readSafetensorsHeader,
  sgd,
  wasmExecutor,
  type Executor,
  type ExecutorKind,
  type HostData,
  type Mode,
  type ModelConfig,
  type SafetensorsFile,
} from '@thimble/core';
import { native } from '@thimble/native';
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import type { AnyStepConfig, NetworkModel, Ready, StepModel } from '../harness/step-protocol.js';
import type { StepRunner } from '../harness/serve-steps.js';

export const STEP_EXECUTORS = { native, wasm: wasmExecutor } as const satisfies Record<
  string,
  ExecutorKind
>;

export type StepExecutorName = keyof typeof STEP_EXECUTORS;

export class StepTrainer implements StepRunner {
  readonly executor: Executor;
  readonly ready: Ready;
  private readonly images: HostData;
  private readonly labels: HostData;
  private readonly rate: HostData;

  private constructor(executor: Executor, ready: Ready, config: AnyStepConfig) {
    this.executor = executor;
    this.ready = ready;
    const batch = readSafetensors(readFileSync(config.data));
    this.images = tensor(batch, 'images').asFloat32();
    this.labels = tensor(batch, 'labels').toInt32();
    this.rate = Float32Array.of(config.lr);
  }

  /** Compiles the step, loads it and writes the weights. */
  static async load(name: StepExecutorName, config: AnyStepConfig): Promise<StepTrainer> {
    const { batch, momentum, weightDecay, threads, weights } = config;
    const model = configOf(config.model);
    const optimizer = sgd({ momentum, weightDecay });
    const build = (size: number, mode: Mode) =>
      buildModel(model, { batch: size, mode, batchNorm: 'batch' });
    const program = compile({ model: build, optimizer, batch, evalBatch: 0 });
    const executor = await STEP_EXECUTORS[name].load(program, { threads });
    writeWeights(executor, weights);
    const ready: Ready = {
      version: executor.detail,
      threads: executor.threads,
      parameters: parameters(build(batch, 'train').graph).reduce(
        (sum, { type }) => sum + type.shape.reduce((product, extent) => product * extent, 1),
        0,
      ),
      plannedBytes: plannedBytes(program, executor.threads),
      arenaBytes: executor.arenaBytes,
      flopsPerStep: entryFlops(program, entryNamed(program, 'step')),
    };
    return new StepTrainer(executor, ready, config);
  }

  /** The memory of the inputs is reused within a step, so they are written for each one. */
  writeBatch(): void {
    this.executor.write('step.images', this.images);
    this.executor.write('step.labels', this.labels);
    this.executor.write('step.lr', this.rate);
  }

  /** Milliseconds (writing the batch and reading the loss included) and loss of one step. */
  async step(): Promise<readonly [ms: number, loss: number]> {
    const started = performance.now();
    this.writeBatch();
    await this.executor.run('step');
    const [loss] = await this.executor.read('step.loss');
    return [performance.now() - started, loss];
  }

  close(): Promise<void> {
    return this.executor.dispose();
  }
}

function configOf(model: StepModel | NetworkModel): ModelConfig {
  if ('network' in model) {
    const { network, imageSize, classes } = model;
    return { ...modelConfig(network), imageSize, classes };
  }
  const { pool, ...shape } = model;
  return {
    ...shape,
    family: 'vit',
    channels: 3,
    mlpRatio: 4,
    pooling: pool === 'token' ? 'token' : 'mean',
    classToken: pool === 'token',
    layerNormEps: 1e-6,
  };
}

function tensor(file: SafetensorsFile, name: string) {
  const view = file.tensors.get(name);
  if (view) return view;
  throw new Error(`batch file: expected a tensor ${name}, got ${[...file.tensors.keys()].join()}`);
}

/** One tensor at a time: the whole file in memory would count as the step's own. */
function writeWeights(executor: Executor, path: string): void {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const length = new BigUint64Array(1);
    readSync(file, length, 0, 8, 0);
    const head = new Uint8Array(8 + Number(length[0]));
    readSync(file, head, 0, head.length, 0);
    for (const { name, begin, end } of readSafetensorsHeader(head, size).tensors.values()) {
      const values = new Float32Array((end - begin) / 4);
      readSync(file, values, 0, values.byteLength, begin);
      executor.write(name, values);
    }
  } finally {
    closeSync(file);
  }
}
