/**
 * Exported ONNX files against the weights that they came from: logits on test pictures, and time for
 * one image.
 *
 * Pictures come as the exported preprocessor_config.json prepares them, or where that is not the
 * model's own way, both ways. A float32 file has to agree with our executor; of the others the
 * difference is shown. Times are taken in rounds, everything once in each round, so that a machine
 * that slows down slows all of them.
 */
import { setTimeout } from 'node:timers/promises';
import {
  argmax,
  buildModel,
  checkedLogits,
  compile,
  loadWeights,
  median,
  NumericError,
  predictLogits,
  TrainingError,
  type Executor,
  type ExecutorKind,
  type HostData,
  type ModelBuilder,
} from '@thimble/core';
import type { ExportedModel } from './model.js';
import type { ExportedPreprocessing } from './preparation.js';
import type { Runtime, RuntimeModel } from './runtime.js';

/** Share of the largest logit, at least of 1, by which float32 files may differ. */
const TOLERANCE = 1e-4;
const ROUNDS = 7;
/** onnxruntime's threads spin for a while after their last work, on the cores that the next one needs. */
const SETTLE_MS = 50;

export interface Agreement {
  readonly maxDifference: number;
  /** The largest magnitude among our logits. */
  readonly maxLogit: number;
  /** Images of `images` with the same best class. */
  readonly agreeing: number;
  readonly images: number;
}

/** Our executor beside any number of files. */
export class Checker {
  private readonly ours: Executor;
  private readonly runtime: Runtime;
  private readonly threads: number;
  private readonly pictures: ExportedPreprocessing;
  private readonly expected: HostData;
  private readonly loaded = new Map<string, RuntimeModel>();

  private constructor(
    ours: Executor,
    runtime: Runtime,
    threads: number,
    pictures: ExportedPreprocessing,
    expected: HostData,
  ) {
    this.ours = ours;
    this.runtime = runtime;
    this.threads = threads;
    this.pictures = pictures;
    this.expected = expected;
  }

  static async open(
    kind: ExecutorKind,
    runtime: Runtime,
    model: ExportedModel,
    pictures: ExportedPreprocessing,
    threads: number,
  ): Promise<Checker> {
    const ours = await loaded(kind, model, threads);
    try {
      const expected = await logitsOf(ours, pictures.own, pictures.count);
      return new Checker(ours, runtime, threads, pictures, expected);
    } catch (error) {
      await ours.dispose();
      throw error;
    }
  }

  /** What runs our side: `native avx512`. */
  get executor(): string {
    const { name, detail } = this.ours;
    return `${name} ${detail}`;
  }

  /**
   * Loads a file and compares its logits, all images in one batch. Throws NumericError where they are not finite.
   *
   * @param isExact throws TrainingError beyond the tolerance
   */
  async compare(format: string, path: string, isExact: boolean): Promise<Agreement> {
    const model = await this.runtime.load(path, this.threads);
    this.loaded.set(format, model);
    const { own, count } = this.pictures;
    const actual = await model.logits(own, count);
    const agreement = agreementOf(actual, this.expected, count);
    const { maxDifference, maxLogit } = agreement;
    if (!isExact && !Number.isFinite(maxDifference)) throw notFinite(format, maxDifference);
    if (!isExact || maxDifference <= TOLERANCE * Math.max(1, maxLogit)) return agreement;
    throw new TrainingError({
      where: `logits of ${format}`,
      expected: `those of ${this.executor} within ${String(TOLERANCE)} of ${maxLogit.toFixed(2)}`,
      got: `a difference of ${String(maxDifference)}`,
      todo: 'Report this as a bug; the file was not kept',
    });
  }

  /** Our logits on pictures as the exported file prepares them, beside our own; null where that is the same. */
  async prepared(): Promise<Agreement | null> {
    const { exported, aside, count } = this.pictures;
    if (exported === null || aside === 0) return null;
    return agreementOf(await logitsOf(this.ours, exported, count), this.expected, count);
  }

  /** Median milliseconds for one image: of the files by format, and of our executor by ''. */
  async latencies(): Promise<ReadonlyMap<string, number>> {
    const image = imageOf(this.pictures.own, 0, this.pictures.count);
    const contestants = new Map<string, () => Promise<unknown>>([
      ['', () => predictLogits(this.ours, image)],
      ...[...this.loaded].map(([name, model]) => [name, () => model.logits(image, 1)] as const),
    ]);
    const times = new Map([...contestants.keys()].map((name) => [name, [] as number[]]));
    for (let round = -1; round < ROUNDS; round++) {
      for (const [name, run] of contestants) {
        await setTimeout(SETTLE_MS);
        const start = performance.now();
        await run();
        if (round >= 0) times.get(name)?.push(performance.now() - start);
      }
    }
    return new Map([...times].map(([name, list]) => [name, median(list)]));
  }

  async close(): Promise<void> {
    for (const model of this.loaded.values()) await model.release();
    await this.ours.dispose();
  }
}

/** The weights as they came, ready for one image. */
async function loaded(
  kind: ExecutorKind,
  { config, original }: ExportedModel,
  threads: number,
): Promise<Executor> {
  const { method, weights } = original;
  const build: ModelBuilder = (batch, mode) => buildModel(config, { batch, mode });
  const executor = await kind.load(compile({ model: build, method, batch: 1 }), { threads });
  try {
    loadWeights(executor, method.forward(build(1, 'eval')), weights, 0);
    return executor;
  } catch (error) {
    await executor.dispose();
    throw error;
  }
}

/** Logits of images one by one, [count, classes]. */
async function logitsOf(
  executor: Executor,
  images: Float32Array,
  count: number,
): Promise<Float64Array> {
  const logits: number[] = [];
  for (let index = 0; index < count; index++) {
    const found = await predictLogits(executor, imageOf(images, index, count));
    logits.push(...checkedLogits(found, `test picture ${String(index)}`));
  }
  return Float64Array.from(logits);
}

function imageOf(images: Float32Array, index: number, count: number): Float32Array {
  const length = images.length / count;
  return images.subarray(index * length, (index + 1) * length);
}

function agreementOf(
  actual: Float32Array | Float64Array,
  expected: HostData,
  images: number,
): Agreement {
  const classes = expected.length / images;
  let maxDifference = actual.length === expected.length ? 0 : Infinity;
  let maxLogit = 0;
  let agreeing = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (!(difference <= maxDifference || Number.isNaN(maxDifference))) maxDifference = difference;
    maxLogit = Math.max(maxLogit, Math.abs(expected[i]));
  }
  for (let image = 0; image < images; image++) {
    const row = [image * classes, (image + 1) * classes] as const;
    if (argmax(actual.subarray(...row)) === argmax(expected.subarray(...row))) agreeing++;
  }
  return { maxDifference, maxLogit, agreeing, images };
}

function notFinite(format: string, difference: number): NumericError {
  return new NumericError({
    where: `logits of ${format}`,
    expected: 'finite numbers',
    got: `a difference of ${String(difference)} to those in float32`,
    todo: 'What the model computes is beyond this format; export as onnx, in float32',
  });
}
