/** predict: the most probable classes of single images. */
import { checkNumbers } from './limits.js';
import { checkedLogits, predictLogits, softmax, type ThimbleError } from '@thimble/core';
import { resolve } from 'node:path';
import { inputsOf } from '../data/inputs.js';
import { LeftOut, type LeftOutGroup } from '../data/left-out.js';
import { Caller, type Hooks, type NoteEvent } from '../events/caller.js';
import type { DownloadEvent } from '../hub/progress.js';
import { Classifier } from '../inference/inference.js';
import type { HubOptions, PreprocessOptions } from '../source/options.js';
import { executorFor, threadsFor, type ExecutorOptions } from './work.js';

export interface PredictOptions extends ExecutorOptions, HubOptions, PreprocessOptions {
  /** A run folder; also weights: a file, a folder, `owner/name` on the hub. */
  readonly run: string;
  /** JPEG, PNG or WebP files, folders of them, and patterns (`inbox/*.jpg`). */
  readonly images: readonly string[];
  /** Classes for each image; default 3. */
  readonly top?: number;
  /** Of a run: weights of the best epoch instead of the last; default: off. */
  readonly best?: boolean;
  /**
   * Keeps the predictions for the result; default: on. Off, they come as events only, and a million images take no
   * more memory than one.
   */
  readonly collect?: boolean;
}

export const PREDICT_DEFAULTS = {
  top: 3,
  best: false,
  collect: true,
} as const satisfies Partial<PredictOptions>;

/** A class with the probability that the model gives it. */
export interface ClassProbability {
  readonly name: string;
  /** Of the model's output, which tells classes of one name from each other. */
  readonly index: number;
  readonly probability: number;
}

/** The most probable classes of an image, in falling order. */
export interface Prediction {
  /** Its path. */
  readonly image: string;
  readonly classes: readonly ClassProbability[];
}

/** Something named that could not be read as an image. */
export interface UnreadImage {
  readonly name: string;
  readonly reason: string;
}

/** Which images will be classified. */
export interface InputsEvent {
  readonly event: 'inputs';
  readonly images: readonly string[];
  /** What in the folders is no image that can be read. */
  readonly leftOut: readonly LeftOutGroup[];
  /** The same in lines for people. */
  readonly lines: readonly string[];
}

/** The model is ready. */
export interface ClassifierEvent {
  readonly event: 'classifier';
  readonly description: string;
  /** In the order of its outputs. */
  readonly classes: readonly string[];
}

/** An image was classified. */
export interface PredictionEvent extends Prediction {
  readonly event: 'prediction';
}

/** What happens while images are classified. */
export type PredictingEvent =
  NoteEvent | DownloadEvent | InputsEvent | ClassifierEvent | PredictionEvent;

/** What became of the images that were named. */
export interface PredictResult {
  /** In the order of the images; empty without `collect`. */
  readonly predictions: readonly Prediction[];
  /** Images that were classified. */
  readonly images: number;
  /** What was named or found and could not be: unread images, and pictures in a format that is not read. */
  readonly failed: number;
  readonly unread: readonly UnreadImage[];
  readonly executor: string;
  readonly threads: number;
}

/** Images at a time at most; a single image is not made to pay for more. */
const MAX_BATCH = 8;

/**
 * Classifies images. One that cannot be read is listed in the result and holds the others up as little as one that
 * is not there. Throws FormatError and CheckpointError for weights that are no model, and the reason of an aborted
 * signal.
 */
export async function predict(
  options: PredictOptions,
  hooks: Hooks<PredictingEvent> = {},
): Promise<PredictResult> {
  checkNumbers(options);
  const caller = new Caller(hooks);
  const settled = { ...PREDICT_DEFAULTS, ...options };
  const { run: from, images, best } = settled;
  const kind = await executorFor(options, caller);
  const leftOut = new LeftOut();
  const { paths, failures } = inputsOf(images, leftOut);
  const { groups, lines } = leftOut;
  caller.tell({ event: 'inputs', images: paths, leftOut: groups, lines });
  const batch = Math.max(1, Math.min(paths.length, MAX_BATCH));
  const asked = { ...options, from, best, batch, threads: threadsFor(options) };
  const classifier = await Classifier.open(kind, asked, caller);
  try {
    const { description, classes, executor } = classifier;
    caller.tell({ event: 'classifier', description, classes });
    const { predictions, unread } = await predictAll(classifier, paths, settled, caller);
    await caller.heard();
    return {
      predictions,
      images: paths.length - unread.length,
      failed: unread.length + failures.length + leftOut.count('format'),
      unread: [...unread, ...failures.map(unreadInput)],
      executor: executor.name,
      threads: executor.threads,
    };
  } finally {
    await classifier.close();
  }
}

async function predictAll(
  classifier: Classifier,
  images: readonly string[],
  { top, collect }: Required<Pick<PredictOptions, 'top' | 'collect'>>,
  caller: Caller<PredictionEvent>,
): Promise<Pick<PredictResult, 'predictions' | 'unread'>> {
  const files = images.map((name) => ({ path: resolve(name), name, label: 0 }));
  const loader = classifier.loader({ kind: 'folder', files }, false, 0);
  const predictions: Prediction[] = [];
  try {
    for await (const { images: pixels, indices, real, labels, taken } of loader.epoch(0)) {
      caller.checkSignal();
      if (real === 0) continue;
      const logits = await predictLogits(classifier.executor, pixels, taken);
      const count = logits.length / labels.length;
      for (let row = 0; row < real; row++) {
        const image = images[indices[row]];
        const scores = checkedLogits(logits.subarray(row * count, (row + 1) * count), image);
        const prediction = { image, classes: topClasses(scores, classifier.classes, top) };
        if (collect) predictions.push(prediction);
        caller.tell({ event: 'prediction', ...prediction });
      }
      await caller.heard();
    }
    const unread = loader.skipped.map(({ index, reason }) => ({ name: images[index], reason }));
    return { predictions, unread };
  } finally {
    await loader.close();
  }
}

/** Something named that is no image, as one that cannot be read. */
function unreadInput({ parts: { where, expected, got, todo } }: ThimbleError): UnreadImage {
  return { name: where, reason: `expected ${expected}, got ${got}. ${todo}.` };
}

/** The `top` most probable classes, in falling order. */
export function topClasses(
  scores: Parameters<typeof softmax>[0],
  classes: readonly string[],
  top: number,
): readonly ClassProbability[] {
  return Array.from(softmax(scores), (probability, index) => ({
    name: classes[index],
    index,
    probability,
  }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, top);
}
