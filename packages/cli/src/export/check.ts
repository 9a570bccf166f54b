/**
 * Exported ONNX files against the weights that they came from: logits on noise, and time for one
 * image.
 *
 * Noise is of coloured spots, through the model's preprocessing. A float32 file has to agree with
 * our executor; of the others the difference is shown. Times are taken in rounds, everything once
 * in each round, so that a machine that slows down slows all of them.
 */
import {
  argmax,
  buildModel,
  compile,
  loadWeights,
  median,
  predictLogits,
  preprocessInto,
  Random,
  TrainingError,
  type Executor,
  type ExecutorKind,
  type HostData,
  type Preprocess,
} from '@thimble/core';
import type { ExportedModel } from './model.js';
import type { Runtime, RuntimeModel } from './runtime.js';

/** Images of noise. */
const CHECKED = 8;
/** Colours down and across a picture of noise: smooth ones tell classes apart, dots do not. */
const SPOTS = 9;
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

/** Our executor beside any number of files. */
export class Checker {
  private readonly ours: Executor;
  private readonly runtime: Runtime;
  private readonly threads: number;
  private readonly noise: Float32Array;
  private readonly expected: HostData;
  private readonly loaded = new Map<string, RuntimeModel>();

  private constructor(
    ours: Executor,
    runtime: Runtime,
    threads: number,
    noise: Float32Array,
    expected: HostData,
  ) {
    this.ours = ours;
    this.runtime = runtime;
    this.threads = threads;
    this.noise = noise;
    this.expected = expected;
  }

  static async open(
    kind: ExecutorKind,
    runtime: Runtime,
    model: ExportedModel,
    threads: number,
  ): Promise<Checker> {
    const ours = await loaded(kind, model, threads);
    try {
      const noise = noiseFor(model.preprocess);
      const expected: number[] = [];
      for (let image = 0; image < CHECKED; image++) {
        expected.push(...(await predictLogits(ours, imageOf(noise, image))));
      }
      return new Checker(ours, runtime, threads, noise, Float64Array.from(expected));
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
      ['', () => predictLogits(this.ours, image)],
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
  const build = (batch: number) => buildModel(config, { batch });
  const executor = await kind.load(compile({ model: build, method, batch: 1 }), { threads });
  try {
    loadWeights(executor, method.forward(build(1)), weights, 0);
    return executor;
  } catch (error) {
    await executor.dispose();
    throw error;
  }
}

/** Images [CHECKED, 3, S, S]. */
function noiseFor(preprocess: Preprocess): Float32Array {
  const random = Random.of(1, 'export');
  const out = new Float32Array(CHECKED * 3 * preprocess.size ** 2);
  for (let image = 0; image < CHECKED; image++) {
    const data = new Uint8Array(3 * SPOTS ** 2);
    for (let i = 0; i < data.length; i++) data[i] = Math.floor(256 * random.uniform());
    const picture = { width: SPOTS, height: SPOTS, channels: 3, data } as const;
    preprocessInto(picture, preprocess, imageOf(out, image));
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
