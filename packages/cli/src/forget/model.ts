/** model: the executors of one forgetting, and the images on their way into them. */
import {
  augments,
  buildModel,
  loadWeights,
  outcomes,
  type Executor,
  type ExecutorKind,
  type Outcome,
  type Outcomes,
  type Preprocess,
  type Program,
} from '@thimble/core';
import type { ImageFile } from '../data/folder.js';
import { Loader, type LoadedBatch, type SkippedImage } from '../data/loader.js';
import type { OpenRun } from '../run/open.js';
import type { Caller, ProgressEvent, Task } from '../events/caller.js';
import type { ForgettingImages } from './images.js';

/** How a forgetting runs, whatever it forgets. */
export interface Means {
  readonly kind: ExecutorKind;
  readonly threads: number;
  readonly workers: number;
  /** Images that are prepared, and classified, at once. */
  readonly batch: number;
  readonly preprocess: Preprocess;
  readonly caller: Caller<ProgressEvent>;
}

/** The program with the weights of the run. Dispose of it. */
export async function loadedRun(
  { method, record, checkpoint }: OpenRun,
  program: Program,
  { kind, threads }: Means,
): Promise<Executor> {
  const executor = await kind.load(program, { threads });
  try {
    const model = method.forward(buildModel(record.model.config, { batch: 1, mode: 'eval' }));
    loadWeights(executor, model, checkpoint, record.seed);
    return executor;
  } catch (error) {
    await executor.dispose();
    throw error;
  }
}

/** The images of `files` in their order, at most `batch` at once. Unreadable ones are left out. */
export async function* batchesOf(
  files: readonly ImageFile[],
  { batch, preprocess, workers, caller }: Omit<Means, 'kind' | 'threads'>,
  skipped: (images: readonly SkippedImage[]) => void = () => undefined,
): AsyncGenerator<LoadedBatch, void, void> {
  if (files.length === 0) return;
  const source = { kind: 'folder', files } as const;
  const settings = { source, purpose: 'evaluate', batch, seed: 0, preprocess } as const;
  const loader = new Loader({ ...settings, augment: augments.none, strict: false }, { workers });
  try {
    for await (const loaded of loader.epoch(0)) {
      caller.checkSignal();
      if (loaded.real > 0) yield loaded;
    }
    skipped(loader.skipped);
  } finally {
    await loader.close();
  }
}

const PARTS = ['retained', 'forgotten', 'retainedTest', 'forgottenTest'] as const;

/** What a model says of the images, and those of them that cannot be read. */
export interface Measured {
  readonly outcomes: Outcomes;
  readonly skipped: readonly SkippedImage[];
}

/** Runs `eval` over all images. */
export async function measure(
  executor: Executor,
  images: ForgettingImages,
  means: Means,
  task: Task,
): Promise<Measured> {
  const parts = PARTS.flatMap((part) => images[part].map((file) => ({ part, file })));
  const files = parts.map(({ file }) => file);
  const { caller } = means;
  const progress = { event: 'progress', task, total: files.length, accuracy: null } as const;
  caller.tell({ ...progress, done: 0 });
  const order: number[] = [];
  let skipped: readonly SkippedImage[] = [];
  const noting = async function* () {
    const batches = batchesOf(files, means, (found) => (skipped = found));
    for await (const batch of batches) {
      order.push(...batch.indices.subarray(0, batch.real));
      yield batch;
      caller.tell({ ...progress, done: order.length });
    }
  };
  const all = await outcomes(executor, noting(), caller.signal);
  const of = order.map((index) => parts[index].part);
  return { outcomes: byPart(of, all), skipped };
}

function byPart(parts: readonly (typeof PARTS)[number][], all: readonly Outcome[]): Outcomes {
  const of = (wanted: (typeof PARTS)[number]) => all.filter((_, row) => parts[row] === wanted);
  return {
    retained: of('retained'),
    forgotten: of('forgotten'),
    retainedTest: of('retainedTest'),
    forgottenTest: of('forgottenTest'),
  };
}

/** The images without those that cannot be read. */
export function readable(
  images: ForgettingImages,
  skipped: readonly SkippedImage[],
): ForgettingImages {
  const bad = new Set(skipped.map(({ name }) => name));
  const good = (files: readonly ImageFile[]) => files.filter(({ path }) => !bad.has(path));
  return {
    retained: good(images.retained),
    forgotten: good(images.forgotten),
    retainedTest: good(images.retainedTest),
    forgottenTest: good(images.forgottenTest),
  };
}
