/**
 * A training method at scale as the benchmark runs it: prepared from a file of dense weights, compiled,
 * loaded, and stepped. Images are noise, one pass at a time, as a loader hands them over.
 */
import {
  buildModel,
  compile,
  entryFlops,
  entryNamed,
  linears,
  loadWeights,
  modelConfig,
  parameters,
  parseMethod,
  plannedBytes,
  prepare,
  Random,
  Session,
  sgd,
  stepFlops,
  type Batch,
  type BoundMethod,
  type Executor,
  type ModelBuilder,
  type Ranks,
} from '@thimble/core';
import { Garbage, native } from '@thimble/native';
import { fileSource } from './file-source.js';
import type { ScaleConfig, ScaleReady } from './protocol.js';

const SEED = 1;

export class ScaleTrainer {
  readonly executor: Executor;
  readonly ready: ScaleReady;
  private readonly session: Session;
  private readonly config: ScaleConfig;
  private readonly pass: Batch;

  private constructor(session: Session, ready: ScaleReady, config: ScaleConfig, pass: Batch) {
    this.session = session;
    this.executor = session.executor;
    this.ready = ready;
    this.config = config;
    this.pass = pass;
  }

  /** Finds ranks, compiles, loads and writes the weights. */
  static async load(config: ScaleConfig): Promise<ScaleTrainer> {
    const { batch, microBatches, evalBatch, threads, saved } = config;
    const shape = { ...modelConfig(config.model), classes: config.classes };
    const model: ModelBuilder = (images, mode) => buildModel(shape, { batch: images, mode });
    const images = batch / microBatches;
    const pass = noise(shape.imageSize, images, config.classes);
    const garbage = new Garbage();
    const source = fileSource(config.weights);
    const given = parseMethod(config.method);
    const started = performance.now();
    const prepared = given.probe
      ? await prepare({
          ...{ model, method: given, source, kind: native, threads, batch: images, seed: SEED },
          batches: (count) => batches(pass, count),
          onDropped: (bytes) => {
            garbage.dropped(bytes);
          },
        })
      : null;
    const method = prepared?.method ?? given;
    const optimizer = sgd({ momentum: 0 });
    garbage.clear();
    const program = compile({
      ...{ model, method, optimizer, batch: images, microBatches, evalBatch, saved },
    });
    garbage.clear();
    const executor = await native.load(program, { threads });
    if (prepared) await prepared.emitWeights(executor);
    else loadWeights(executor, model(1, 'train'), source, SEED);
    source.close();
    garbage.clear();
    const prepareSeconds = (performance.now() - started) / 1000;
    const ready = describe(executor, method, model, prepared?.ranks ?? null);
    const session = Session.of({ executor, optimizer });
    return new ScaleTrainer(session, { ...ready, prepareSeconds }, config, pass);
  }

  /** Milliseconds and loss of one update: every pass, writing its images included. */
  async step(): Promise<readonly [ms: number, loss: number]> {
    const { session, config, pass } = this;
    for (let index = 0; index < config.microBatches; index++) {
      const update = await session.add(pass, config.learningRate);
      if (update) return [update.ms, update.loss];
    }
    throw new Error(`scale: expected an update of ${String(config.microBatches)} micro-batches`);
  }

  /** Milliseconds of one evaluation. */
  async infer(): Promise<number> {
    const { executor, config, pass } = this;
    const pixels = (pass.images.length / pass.real) * config.evalBatch;
    const images = new Float32Array(pixels);
    for (let at = 0; at < pixels; at += pass.images.length) {
      images.set(pass.images.subarray(0, Math.min(pass.images.length, pixels - at)), at);
    }
    const began = performance.now();
    executor.write('eval.images', images);
    await executor.run('eval');
    await executor.read('eval.logits');
    return performance.now() - began;
  }
}

function describe(
  executor: Executor,
  method: BoundMethod,
  model: ModelBuilder,
  ranks: Ranks | null,
): ScaleReady {
  const { program, threads } = executor;
  const flops = (name: string) => {
    const known = program.entries.some((entry) => entry.name === name);
    return known ? entryFlops(program, entryNamed(program, name)) : 0;
  };
  return {
    ready: true,
    version: executor.detail,
    threads,
    parameters: parameters(method.forward(model(1, 'train')).graph).reduce(
      (sum, { type }) => sum + type.shape.reduce((product, extent) => product * extent, 1),
      0,
    ),
    plannedBytes: plannedBytes(program, threads),
    arenaBytes: executor.arenaBytes,
    flopsPerStep: stepFlops(program),
    flopsPerEvaluation: flops('eval'),
    rankShare: ranks && rankShare(model, ranks),
    prepareSeconds: 0,
  };
}

function rankShare(model: ModelBuilder, ranks: Ranks): number | null {
  const shares = linears(model(1, 'train'), 'all').flatMap(({ weight, outputs, inputs }) => {
    const known: Readonly<Record<string, number | undefined>> = ranks.weights;
    const rank = known[weight];
    return rank === undefined ? [] : [rank / Math.min(outputs, inputs)];
  });
  if (shares.length === 0) return null;
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function noise(side: number, images: number, classes: number): Batch {
  const pixels = Random.of(SEED, 'images').fillNormal(new Float32Array(images * 3 * side * side));
  const labels = Int32Array.from({ length: images }, (_, index) => index % classes);
  return { images: pixels, labels, real: images };
}

/** Endless: preparing takes what it needs. `count` is at most the pass. */
function* batches({ images, labels, real }: Batch, count: number): Generator<Batch> {
  const part = images.subarray(0, (images.length / real) * count);
  for (;;) yield { images: part, labels: labels.subarray(0, count), real: count };
}
