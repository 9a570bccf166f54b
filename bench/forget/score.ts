/**
 * The scores of a run that never saw a class, on the images of all classes: what forgetting is measured against.
 * The class has no output there, so that no answer for its images is right; their entropies count for the attack.
 */
import {
  buildModel,
  compile,
  FormatError,
  forgettingScores,
  loadWeights,
  modelReader,
  outcomes,
  preprocessReader,
  readSafetensors,
  schema,
  type Batch,
  type Executor,
  type ForgettingScores,
  type ModelConfig,
  type Outcome,
  type Preprocess,
} from '@thimble/core';
import { native } from '@thimble/native';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { readPhotos } from '../harness/photos.js';

/** A run as its folder has it. */
interface StoredRun {
  readonly config: ModelConfig;
  readonly classes: readonly string[];
  readonly preprocess: Preprocess;
}

const BATCH = 16;

/**
 * @param run folder of a run of method full
 * @param data folder with train/ and test/
 * @param forgotten the class
 */
export async function scoreRun(
  run: string,
  data: string,
  forgotten: string,
): Promise<ForgettingScores> {
  const stored = readRun(run);
  const executor = await loaded(run, stored);
  try {
    const of = (part: string, classes: readonly string[]) =>
      outcomesOf(executor, stored, join(data, part), classes);
    const all = readdirSync(join(data, 'train')).sort();
    const retained = all.filter((name) => name !== forgotten);
    return forgettingScores({
      retained: await of('train', retained),
      forgotten: await of('train', [forgotten]),
      retainedTest: await of('test', retained),
      forgottenTest: await of('test', [forgotten]),
    });
  } finally {
    await executor.dispose();
  }
}

function readRun(folder: string): StoredRun {
  const file = join(folder, 'run.json');
  const { model, classes, preprocess } = JSON.parse(readFileSync(file, 'utf8')) as {
    readonly model: { readonly config: unknown };
    readonly classes: readonly string[];
    readonly preprocess: unknown;
  };
  const document = { file, error: FormatError, todo: 'Train it again' };
  const read = <T>(reader: schema.Reader<T>, value: unknown) =>
    schema.readValue(value, reader, document);
  return {
    config: read(modelReader, model.config),
    classes,
    preprocess: read(preprocessReader, preprocess),
  };
}

async function loaded(folder: string, { config }: StoredRun): Promise<Executor> {
  const build = (batch: number) => buildModel(config, { batch, mode: 'eval' });
  const program = compile({ model: build, batch: BATCH });
  const executor = await native.load(program, { threads: availableParallelism() });
  const file = readSafetensors(readFileSync(join(folder, 'model.safetensors')));
  const shapes = new Map([...file.tensors].map(([name, { shape }]) => [name, shape]));
  const read = (name: string) => file.tensors.get(name)?.asFloat32() ?? new Float32Array();
  loadWeights(executor, build(1), { name: folder, shapes, read }, 0);
  return executor;
}

/** What the model says of all photos of some classes. */
async function outcomesOf(
  executor: Executor,
  { classes, preprocess }: StoredRun,
  folder: string,
  wanted: readonly string[],
): Promise<readonly Outcome[]> {
  const results: Outcome[] = [];
  for (const name of wanted) {
    const { pixels, labels } = await readPhotos(folder, [name], preprocess, Infinity);
    const label = classes.indexOf(name);
    const size = pixels.length / labels.length;
    const batches: Batch[] = [];
    for (let at = 0; at < labels.length; at += BATCH) {
      const real = Math.min(BATCH, labels.length - at);
      const images = new Float32Array(BATCH * size);
      images.set(pixels.subarray(at * size, (at + real) * size));
      batches.push({ images, labels: new Int32Array(BATCH).fill(label), real });
    }
    results.push(...(await outcomes(executor, batches)));
  }
  return results;
}
