/**
 * A training method at scale as the benchmark runs it: dense weights from a file are factored at the ranks that
 * were measured (imposed.ts), the program is compiled, loaded, and stepped. Momentum, forms of saved tensors
 * and the images of an evaluation are the command's defaults.
 */
import {
  buildModel,
  compile,
  defaultPreprocess,
  elements,
  emitKnown,
  foundRanks,
  linears,
  loadWeights,
  parameters,
  parseMethod,
  plannedBytes,
  prepare,
  Session,
  sgd,
  stepFlops,
  type Batch,
  type BoundMethod,
  type Executor,
  type LoadReport,
  type ModelBuilder,
} from '@thimble/core';
import { Garbage, native, returnFreedMemory } from '@thimble/native';
import { peakBytes } from '../harness/peak-bytes.js';
import { BatchFile } from './batch-file.js';
import { fileSource, type FileSource } from './file-source.js';
import { imposedRanks } from './imposed.js';
import { DEFAULT_RANKS, type ScaleConfig, type ScaleReady } from './protocol.js';
import { measuredModel, readRanks } from './ranks.js';
import { workloadModel } from './workload.js';

const SEED = 1;

export class ScaleTrainer {
  readonly ready: ScaleReady;
  private readonly session: Session;
  private readonly config: ScaleConfig;
  private readonly data: BatchFile;

  private constructor(session: Session, ready: ScaleReady, config: ScaleConfig, data: BatchFile) {
    this.session = session;
    this.ready = ready;
    this.config = config;
    this.data = data;
  }

  /** Gets ranks, compiles, loads and writes the weights. */
  static async load(config: ScaleConfig): Promise<ScaleTrainer> {
    const { batch, row, threads, momentum } = config;
    const data = new BatchFile(config.data);
    if (data.images !== batch) throw new Error(`${config.data}: expected ${batch} images`);
    const garbage = new Garbage();
    const started = performance.now();
    const source = fileSource(config.weights);
    const factored = await factoredBy({ config, source, data, garbage });
    const { model, method } = factored;
    const { microBatches = 1 } = row;
    const optimizer = sgd({ momentum, ...row.sgd });
    const images = batch / microBatches;
    const options = { model, method, optimizer, batch: images, microBatches, ...row.compile };
    const program = compile(options);
    garbage.clear();
    const executor = await native.load(program, { threads });
    await factored.fill(executor);
    source.close();
    garbage.clear();
    const spent = {
      prepareSeconds: (performance.now() - started) / 1000,
      preparePeakBytes: peakBytes(),
    };
    const ready = { ...describe(executor, method, model), ...spent };
    return new ScaleTrainer(Session.of({ executor, optimizer }), ready, config, data);
  }

  /** Milliseconds and loss of one update: all micro-batches, writing their images included. */
  async step(): Promise<readonly [ms: number, loss: number]> {
    const { session, config, data } = this;
    const { batch, row, learningRate } = config;
    const { microBatches = 1 } = row;
    const images = batch / microBatches;
    for (let index = 0; index < microBatches; index++) {
      const update = await session.add(data.batch(index * images, images), learningRate);
      if (update) return [update.ms, update.loss];
    }
    throw new Error(`scale: expected an update of ${String(microBatches)} micro-batches`);
  }

  async close(): Promise<void> {
    this.data.close();
    await this.session.dispose();
    await this.session.executor.dispose();
  }
}

interface Loading {
  readonly config: ScaleConfig;
  readonly source: FileSource;
  readonly data: BatchFile;
  readonly garbage: Garbage;
}

interface Factored {
  readonly model: ModelBuilder;
  /** With its ranks. */
  readonly method: BoundMethod;
  fill(executor: Executor): Promise<LoadReport>;
}

async function factoredBy({ config, source, data, garbage }: Loading): Promise<Factored> {
  const { threads, batch, classes } = config;
  const shape = workloadModel(config.model, classes);
  const model: ModelBuilder = (images, mode) =>
    buildModel(shape, { batch: images, mode, levels: defaultPreprocess });
  const given = parseMethod(config.row.method);
  const { microBatches = 1, compile: { slices = 1 } = {} } = config.row;
  const images = batch / microBatches / slices;
  const onDropped = (bytes: number) => {
    if (garbage.dropped(bytes)) returnFreedMemory();
  };
  const shared = { model, source, kind: native, threads, seed: SEED, onDropped };
  if (!given.probe) {
    const fill = (executor: Executor) => {
      const method = given.forward(model(1, 'train'));
      return Promise.resolve(loadWeights(executor, method, source, SEED));
    };
    return { model, method: given, fill };
  }
  const { ranks: from = DEFAULT_RANKS } = config.row;
  if (from === 'found') {
    const batches = (count: number) => photosOf(data, count);
    const found = await prepare({ ...shared, method: given, batch: images, batches });
    return { model, method: found.method, fill: (executor) => found.emitWeights(executor) };
  }
  const small = measuredModel(classes);
  const measured: ModelBuilder = (of, mode) => buildModel(small, { batch: of, mode });
  const isPublished = from === 'published';
  const options = { model, measured, ranks: readRanks(), images, isPublished };
  const ranks = imposedRanks(given.probe, options);
  const method = given.with({ ranks });
  return { model, method, fill: (executor) => emitKnown({ ...shared, method }, executor) };
}

/** The batch again and again: preparing takes what it needs. */
function* photosOf(data: BatchFile, count: number): Generator<Batch> {
  for (;;) {
    for (let first = 0; first + count <= data.images; first += count) {
      yield data.batch(first, count);
    }
  }
}

function describe(
  executor: Executor,
  method: BoundMethod,
  model: ModelBuilder,
): Omit<ScaleReady, 'prepareSeconds' | 'preparePeakBytes'> {
  const { program, threads } = executor;
  const { batch = 1 } = program.training ?? {};
  const formed = method.forward(model(batch, 'train'));
  const ranks = foundRanks(method.findings(formed));
  const shares = linears(formed, 'all').flatMap(({ weight, outputs, inputs }) => {
    const known: Readonly<Record<string, number | undefined>> = ranks.weights;
    const rank = known[weight];
    return rank === undefined ? [] : [rank / Math.min(outputs, inputs)];
  });
  return {
    ready: true,
    version: executor.detail,
    threads,
    parameters: parameters(formed.graph).reduce((sum, { type }) => sum + elements(type.shape), 0),
    plannedBytes: plannedBytes(program, threads),
    arenaBytes: executor.arenaBytes,
    flopsPerStep: stepFlops(program),
    rankShare: shares.length === 0 ? null : shares.reduce((sum, x) => sum + x, 0) / shares.length,
    compressed: Object.keys(ranks.activations).length,
  };
}
