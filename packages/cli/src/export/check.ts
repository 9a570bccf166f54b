/**
 * Exported ONNX files against the run that they came from: logits on noise, and time for one image.
 *
 * Noise is of pixels, through the model's normalisation. A float32 file has to agree with our executor;
 * of the others the difference is shown. Times are taken in rounds, everything once in each round, so
 * that a machine that slows down slows all of them.
 */
import {
  argmax,
  median,
  normalizeInto,
  predictLogits,
  Random,
  TrainingError,
  type ExecutorKind,
  type HostData,
} from '@thimble/core';
import { Classifier, type InferenceOptions } from '../inference.js';
import type { Runtime, RuntimeModel } from './runtime.js';

/** Images of noise. */
const CHECKED = 8;
/** Share of the largest logit, at least of 1, by which float32 files may differ. */
const TOLERANCE = 1e-4;
const ROUNDS = 7;

export interface Agreement {
  readonly maxDifference: number;
  /** The largest magnitude among our logits. */
  readonly maxLogit: number;
  /** Images of `images` with the same best class. */
  readonly agreeing: number;
  readonly images: number;
}

/** One classifier beside any number of files. */
export class Checker {
  private readonly classifier: Classifier;
  private readonly runtime: Runtime;
  private readonly threads: number;
  private readonly noise: Float32Array;
  private readonly expected: HostData;
  private readonly loaded = new Map<string, RuntimeModel>();

  private constructor(
    classifier: Classifier,
    runtime: Runtime,
    threads: number,
    noise: Float32Array,
    expected: HostData,
  ) {
    this.classifier = classifier;
    this.runtime = runtime;
    this.threads = threads;
    this.noise = noise;
    this.expected = expected;
  }

  static async open(
    kind: ExecutorKind,
    runtime: Runtime,
    options: Omit<InferenceOptions, 'batch'>,
  ): Promise<Checker> {
    const classifier = await Classifier.open(kind, { ...options, batch: 1 });
    try {
      const noise = noiseFor(classifier);
      const expected: number[] = [];
      for (let image = 0; image < CHECKED; image++) {
        expected.push(...(await predictLogits(classifier.executor, imageOf(noise, image))));
      }
      const logits = Float64Array.from(expected);
      return new Checker(classifier, runtime, options.threads, noise, logits);
    } catch (error) {
      await classifier.close();
      throw error;
    }
  }

  /** What runs our side: `native avx512`. */
  get executor(): string {
    const { name, detail } = this.classifier.executor;
    return `${name} ${detail}`;
  }

  /**
   * Loads a file and compares its logits, all images in one batch.
   *
   * @param isExact throws TrainingError beyond the tolerance
   */
  async compare(format: string, path: string, isExact: boolean): Promise<Agreement> {
    const model = await this.runtime.load(path, this.threads);
    this.loaded.set(format, model);
    const actual = await model.logits(this.noise, CHECKED);
    const agreement = agreementOf(actual, this.expected);
    const { maxDifference, maxLogit } = agreement;
    if (!isExact || maxDifference <= TOLERANCE * Math.max(1, maxLogit)) return agreement;
    throw new TrainingError({
      where: `logits of ${format}`,
      expected: `those of ${this.executor} within ${String(TOLERANCE)} of ${maxLogit.toFixed(2)}`,
      got: `a difference of ${String(maxDifference)}`,
      todo: 'Report this as a bug; the file was not kept',
    });
  }

  /** Median milliseconds for one image: of the files by format, and of our executor by ''. */
  async latencies(): Promise<ReadonlyMap<string, number>> {
    const image = imageOf(this.noise, 0);
    const contestants = new Map<string, () => Promise<unknown>>([
      ['', () => predictLogits(this.classifier.executor, image)],
      ...[...this.loaded].map(([name, model]) => [name, () => model.logits(image, 1)] as const),
    ]);
    const times = new Map([...contestants.keys()].map((name) => [name, [] as number[]]));
    for (let round = -1; round < ROUNDS; round++) {
      for (const [name, run] of contestants) {
        const start = performance.now();
        await run();
        if (round >= 0) times.get(name)?.push(performance.now() - start);
      }
    }
    return new Map([...times].map(([name, list]) => [name, median(list)]));
  }

  async close(): Promise<void> {
    for (const model of this.loaded.values()) await model.release();
    await this.classifier.close();
  }
}

/** Images [CHECKED, 3, S, S]. */
function noiseFor({ record }: Classifier): Float32Array {
  const { preprocess, seed } = record;
  const { size } = preprocess;
  const random = Random.of(seed, 'export');
  const out = new Float32Array(CHECKED * 3 * size ** 2);
  for (let image = 0; image < CHECKED; image++) {
    const data = Uint8Array.from({ length: 3 * size ** 2 }, () =>
      Math.floor(256 * random.uniform()),
    );
    const picture = { width: size, height: size, channels: 3, data } as const;
    normalizeInto(picture, preprocess, imageOf(out, image));
  }
  return out;
}

function imageOf(images: Float32Array, index: number): Float32Array {
  const length = images.length / CHECKED;
  return images.subarray(index * length, (index + 1) * length);
}

function agreementOf(actual: Float32Array, expected: HostData): Agreement {
  const classes = expected.length / CHECKED;
  let maxDifference = actual.length === expected.length ? 0 : Infinity;
  let maxLogit = 0;
  let agreeing = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (!(difference <= maxDifference || Number.isNaN(maxDifference))) maxDifference = difference;
    maxLogit = Math.max(maxLogit, Math.abs(expected[i]));
  }
  for (let image = 0; image < CHECKED; image++) {
    const row = [image * classes, (image + 1) * classes] as const;
    if (argmax(actual.subarray(...row)) === argmax(expected.subarray(...row))) agreeing++;
  }
  return { maxDifference, maxLogit, agreeing, images: CHECKED };
}
