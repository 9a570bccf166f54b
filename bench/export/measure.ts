/** One run in all its forms: how far logits on photos are from ours, and how long they take. */
import { argmax } from '@thimble/core';
import { readPhotos, type Photos } from '../harness/photos.js';
import { interleave } from '../harness/rounds.js';
import { pairedRatio, spread, type Rounds } from '../harness/statistics.js';
import { onnxRunner, ownRunner, readModel, type Runner } from './contestants.js';
import type { ExportedRun } from './files.js';
import { BATCHES, OWN, type ExportResult, type ExportRow } from './result.js';

/** Forward passes in one turn, by the images of each. */
const PASSES = [3, 1] as const;

/** Threads of onnxruntime spin for a while after their last work. */
const SETTLE_MS = 100;

/** Share of the largest logit by which a float32 file may differ. */
const TOLERANCE = 1e-4;

export interface ExportOptions {
  /** Class folders with photos. */
  readonly data: string;
  readonly photos: number;
  readonly threads: number;
  readonly rounds: number;
}

interface Live {
  readonly name: string;
  readonly bytes: number | null;
  readonly ofFloat32: number | null;
  readonly runner: Runner;
  readonly logits: Float64Array;
}

export async function measureRun(
  run: string,
  exported: ExportedRun,
  options: ExportOptions,
): Promise<ExportResult> {
  const model = readModel(exported.weights);
  const { imageSize } = model.config;
  const { threads, rounds } = options;
  const photos = await readPhotos(options.data, model.classes, model.preprocess, options.photos);
  const live: Live[] = [];
  try {
    const own = await ownRunner(model, BATCHES, threads);
    const sizes = { bytes: null, ofFloat32: null };
    live.push({ name: OWN, ...sizes, runner: own, logits: await allLogits(own, photos) });
    for (const { name, path, bytes, ofFloat32 } of exported.files) {
      const runner = await onnxRunner(path, imageSize, BATCHES, threads);
      live.push({ name, bytes, ofFloat32, runner, logits: await allLogits(runner, photos) });
    }
    const times = await timed(live, photos, rounds);
    const [{ logits: expected }] = live;
    return {
      ...{ run, model: model.name, method: model.method.text, threads, rounds },
      photos: photos.labels.length,
      maxLogit: expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
      rows: live.map((row) => rowOf(row, expected, photos.labels, times)),
    };
  } finally {
    for (const { runner } of live) await runner.close();
  }
}

/** Logits of every photo, one at a time: what is in a batch changes what 8-bit files say. */
async function allLogits(runner: Runner, { pixels, labels }: Photos): Promise<Float64Array> {
  const size = pixels.length / labels.length;
  const all: number[] = [];
  for (let index = 0; index < labels.length; index++) {
    all.push(...(await runner.logits(pixels.subarray(index * size, (index + 1) * size), 1)));
  }
  return Float64Array.from(all);
}

/** Samples by contestant, for each of BATCHES. */
async function timed(
  live: readonly Live[],
  { pixels, labels }: Photos,
  rounds: number,
): Promise<readonly ReadonlyMap<string, Rounds>[]> {
  const results: ReadonlyMap<string, Rounds>[] = [];
  for (const [place, batch] of BATCHES.entries()) {
    const images = pixels.subarray(0, (pixels.length / labels.length) * batch);
    const contestants = live.map(({ name, runner }) => ({
      name,
      measure: () => turn(runner, images, batch, PASSES[place]),
    }));
    for (const { measure } of contestants) await measure();
    results.push(await interleave(contestants, { rounds, settleMs: SETTLE_MS }));
  }
  return results;
}

async function turn(
  runner: Runner,
  images: Float32Array,
  batch: number,
  passes: number,
): Promise<readonly number[]> {
  const samples: number[] = [];
  for (let pass = 0; pass < passes; pass++) {
    const started = performance.now();
    await runner.logits(images, batch);
    samples.push(performance.now() - started);
  }
  return samples;
}

function rowOf(
  { name, bytes, ofFloat32, logits }: Live,
  expected: Float64Array,
  labels: readonly number[],
  times: readonly ReadonlyMap<string, Rounds>[],
): ExportRow {
  const classes = expected.length / labels.length;
  const best = (of: Float64Array, photo: number) =>
    argmax(of.subarray(photo * classes, (photo + 1) * classes));
  const share = (isRight: (photo: number) => boolean) =>
    labels.filter((_, photo) => isRight(photo)).length / labels.length;
  const maxDifference = logits.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - expected[i])),
    0,
  );
  const maxLogit = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  if (name === 'onnx' && !(maxDifference <= TOLERANCE * maxLogit)) {
    throw new Error(`${name}: expected our logits, got a difference of ${maxDifference}`);
  }
  return {
    ...{ name, bytes, ofFloat32, maxDifference },
    agreement: share((photo) => best(logits, photo) === best(expected, photo)),
    accuracy: share((photo) => best(logits, photo) === labels[photo]),
    times: times.map((rounds) => {
      const own = rounds.get(name) ?? [];
      return { ms: spread(own.flat()), ratio: pairedRatio(own, rounds.get(OWN) ?? []) };
    }),
  };
}
