/** One size of the model with one method, loaded and ready to step. Images are noise. */
import {
  compile,
  entryFlops,
  entryNamed,
  initialValues,
  parameters,
  parseMethod,
  plannedBytes,
  Random,
  sgd,
  vit,
  type Executor,
  type ExecutorKind,
  type ModelBuilder,
} from '@thimble/core';
import type { GrowthCase } from './cases.js';

const SEED = 1;
/** Small: the noise teaches nothing, the weights shall stay where they are. */
const LEARNING_RATE = 1e-3;

export class GrowthTrainer {
  readonly flops: number;
  readonly plannedBytes: number;
  readonly arenaBytes: number;
  private readonly executor: Executor;
  private readonly images: Float32Array<ArrayBuffer>;
  private readonly labels: Int32Array<ArrayBuffer>;

  private constructor(executor: Executor, { model, batch }: GrowthCase) {
    const { program, threads } = executor;
    this.executor = executor;
    this.flops = entryFlops(program, entryNamed(program, 'step'));
    this.plannedBytes = plannedBytes(program, threads);
    this.arenaBytes = program.arenaBytes;
    const count = batch * model.channels * model.imageSize ** 2;
    this.images = Random.of(SEED, 'images').fillNormal(new Float32Array(count));
    this.labels = Int32Array.from({ length: batch }, (_, index) => index % model.classes);
  }

  /** Compiles, loads, writes random weights and takes the method's start. */
  static async load(
    kind: ExecutorKind,
    one: GrowthCase,
    methodText: string,
    threads: number,
  ): Promise<GrowthTrainer> {
    const { batch } = one;
    const model: ModelBuilder = (images, mode) => vit(one.model, { batch: images, mode });
    const method = parseMethod(methodText);
    const optimizer = sgd({ momentum: 0 });
    const program = compile({ model, method, optimizer, batch, evalBatch: 0 });
    const executor = await kind.load(program, { threads });
    for (const { name, type, source } of parameters(method.forward(model(1, 'train')).graph)) {
      executor.write(name, initialValues(source.initial, type.shape, SEED, name));
    }
    const trainer = new GrowthTrainer(executor, one);
    if (program.entries.some(({ name }) => name === 'start')) {
      executor.write('start.images', trainer.images);
      await executor.run('start');
    }
    return trainer;
  }

  /** Milliseconds of one step; writing the batch and reading the loss included. */
  async step(): Promise<number> {
    const { executor } = this;
    const started = performance.now();
    executor.write('step.images', this.images);
    executor.write('step.labels', this.labels);
    executor.write('step.lr', Float32Array.of(LEARNING_RATE));
    await executor.run('step');
    const [loss] = await executor.read('step.loss');
    const ms = performance.now() - started;
    if (!Number.isFinite(loss)) throw new Error(`growth: expected a finite loss, got ${loss}`);
    return ms;
  }

  dispose(): Promise<void> {
    return Promise.resolve(this.executor.dispose());
  }
}
