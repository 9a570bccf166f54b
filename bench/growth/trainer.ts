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
  Session,
  sgd,
  vit,
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
  private readonly session: Session;
  private readonly images: Float32Array<ArrayBuffer>;
  private readonly labels: Int32Array<ArrayBuffer>;

  private constructor(session: Session, { model, batch }: GrowthCase) {
    const { program, threads } = session.executor;
    this.session = session;
    this.flops = entryFlops(program, entryNamed(program, 'step'));
    this.plannedBytes = plannedBytes(program, threads);
    this.arenaBytes = program.arenaBytes;
    const count = batch * model.channels * model.imageSize ** 2;
    this.images = Random.of(SEED, 'images').fillNormal(new Float32Array(count));
    this.labels = Int32Array.from({ length: batch }, (_, index) => index % model.classes);
  }

  /** Compiles, loads and writes random weights; the first step sets the method's states. */
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
    return new GrowthTrainer(Session.of({ executor, optimizer }), one);
  }

  /** Milliseconds of one step; writing the batch and reading the loss included. */
  async step(): Promise<number> {
    const { images, labels } = this;
    const update = await this.session.add({ images, labels, real: labels.length }, LEARNING_RATE);
    if (!update) throw new Error('growth: expected an update for each batch, got none');
    return update.ms;
  }

  dispose(): Promise<void> {
    return this.session.executor.dispose();
  }
}
