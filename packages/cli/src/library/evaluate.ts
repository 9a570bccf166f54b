/** evaluate: accuracy and loss of a run on a folder of class folders. */
import { checkNumbers } from './limits.js';
import { checkedLogits, DataError, predictLogits } from '@thimble/core';
import type { ImageFile } from '../data/folder.js';
import type { Loader, SkippedImage } from '../data/loader.js';
import { heldOutEvent, type HeldOutEvent } from '../data/report.js';
import { readHeldOut } from '../data/set.js';
import { Caller, type Hooks, type NoteEvent, type ProgressEvent } from '../events/caller.js';
import type { DownloadEvent } from '../hub/progress.js';
import { Classifier } from '../inference/inference.js';
import { Tally } from '../inference/tally.js';
import { evaluatedClasses, matchedClasses } from '../source/meaning.js';
import type { HubOptions, PreprocessOptions } from '../source/options.js';
import {
  executorFor,
  threadsFor,
  workersFor,
  type ExecutorOptions,
  type WorkerOptions,
} from './work.js';

export interface EvaluateOptions
  extends ExecutorOptions, WorkerOptions, HubOptions, PreprocessOptions {
  /** A run folder; also weights: a file, a folder, `owner/name` on the hub. */
  readonly run: string;
  /** A folder of class folders, named as in training, or a manifest. */
  readonly data: string;
  /** Of a run: weights of the best epoch instead of the last; default: off. */
  readonly best?: boolean;
  /** Images at a time; default 16. */
  readonly batch?: number;
  /** Stops at the first unreadable image instead of leaving it out; default: off. */
  readonly strict?: boolean;
  /** Leaves out class folders of which nothing can be read, instead of refusing; default: off. */
  readonly allowEmpty?: boolean;
}

export const EVALUATE_DEFAULTS = {
  best: false,
  batch: 16,
  strict: false,
  allowEmpty: false,
} as const satisfies Partial<EvaluateOptions>;

/** How a model does on one class. */
export interface ClassResult {
  readonly name: string;
  readonly images: number;
  /** Share of them that the model takes for this class; null without any. */
  readonly accuracy: number | null;
}

/** How a model does on a folder of images. */
export interface EvaluateResult {
  /** Share of the images whose class is the most probable one. */
  readonly accuracy: number;
  /** Mean cross-entropy, in nats. */
  readonly loss: number;
  readonly images: number;
  readonly perClass: readonly ClassResult[];
  /** Images that could not be read. */
  readonly skipped: readonly SkippedImage[];
  readonly executor: string;
  readonly threads: number;
}

/** What happens while a model is measured. */
export type EvaluatingEvent = NoteEvent | DownloadEvent | HeldOutEvent | ProgressEvent;

/**
 * Measures a model. Throws the errors of `@thimble/core`: DataError where no image can be read or the classes are
 * others, FormatError and CheckpointError for weights that are no model; and the reason of an aborted signal.
 */
export async function evaluate(
  options: EvaluateOptions,
  hooks: Hooks<EvaluatingEvent> = {},
): Promise<EvaluateResult> {
  checkNumbers(options);
  const caller = new Caller(hooks);
  const { run: from, data, best, batch, strict, allowEmpty } = { ...EVALUATE_DEFAULTS, ...options };
  const workers = workersFor(options, caller);
  const kind = await executorFor(options, caller);
  const asked = { ...options, from, best, batch, threads: threadsFor(options) };
  const classifier = await Classifier.open(kind, asked, caller);
  try {
    const labels = classifier.classes;
    const held = readHeldOut(data, (names) => matchedClasses(names, labels), { allowEmpty });
    caller.tell(heldOutEvent(held));
    const { files } = held;
    const loader = classifier.loader({ kind: 'folder', files }, strict, workers);
    try {
      const tally = new Tally(evaluatedClasses(held.folders, labels));
      await evaluateAll(classifier, loader, files, tally, caller);
      const { skipped } = loader;
      if (tally.total === 0) throw nothingReadable(held.from, skipped.length);
      await caller.heard();
      return resultOf(tally, classifier, skipped);
    } finally {
      await loader.close();
    }
  } finally {
    await classifier.close();
  }
}

async function evaluateAll(
  classifier: Classifier,
  loader: Loader,
  files: readonly ImageFile[],
  tally: Tally,
  caller: Caller<ProgressEvent>,
): Promise<void> {
  const progress = { event: 'progress', task: 'evaluate', total: loader.count } as const;
  caller.tell({ ...progress, done: 0, accuracy: null });
  for await (const { images, labels, indices, real, taken } of loader.epoch(0)) {
    caller.checkSignal();
    const logits = await predictLogits(classifier.executor, images, taken);
    const classes = logits.length / labels.length;
    for (let row = 0; row < real; row++) {
      const scores = logits.subarray(row * classes, (row + 1) * classes);
      tally.add(checkedLogits(scores, files[indices[row]].path), labels[row]);
    }
    caller.tell({ ...progress, done: tally.total, accuracy: tally.accuracy });
  }
}

function resultOf(
  { accuracy, loss, total, perClass }: Tally,
  { executor }: Classifier,
  skipped: readonly SkippedImage[],
): EvaluateResult {
  return {
    ...{ accuracy, loss, images: total, skipped },
    perClass: perClass.map(({ name, images, correct }) => ({
      ...{ name, images },
      accuracy: images === 0 ? null : correct / images,
    })),
    executor: executor.name,
    threads: executor.threads,
  };
}

function nothingReadable(folder: string, skipped: number): DataError {
  return new DataError({
    where: folder,
    expected: 'at least one readable image',
    got: `${String(skipped)} unreadable ones`,
    todo: 'Check that the files are images',
  });
}
