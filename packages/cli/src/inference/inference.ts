/** A model made ready to classify: its evaluation program, loaded with its weights. */
import {
  augments,
  buildModel,
  CheckpointError,
  compile,
  loadWeights,
  parseMethod,
  PLAIN_METHOD,
  type BoundMethod,
  type Executor,
  type ExecutorKind,
  type ModelBuilder,
  type Preprocess,
} from '@thimble/core';
import { Loader } from '../data/loader.js';
import type { SourceDescription } from '../data/source.js';
import type { HubOptions, PreprocessOptions } from '../source/options.js';
import type { Caller } from '../events/caller.js';
import type { DownloadEvent } from '../hub/progress.js';
import { accessOf, classesOf, openStart, preprocessFor, type Start } from '../source/start.js';
import { preprocessNamed } from '../weights/preprocessing.js';

export interface InferenceOptions extends HubOptions, PreprocessOptions {
  /** A run, or whatever else `openStart` takes. */
  readonly from: string;
  /** Of a run: the weights of the best epoch instead of the last one. */
  readonly best: boolean;
  readonly batch: number;
  readonly threads: number;
}

export class Classifier {
  /** In the order of the model's outputs: its labels, or else numbers. */
  readonly classes: readonly string[];
  readonly description: string;
  readonly executor: Executor;
  private readonly preprocess: Preprocess;
  private readonly batch: number;

  private constructor(start: Start, executor: Executor, options: InferenceOptions) {
    const { preprocess: asked, batch } = options;
    const preprocess = asked === undefined ? start.preprocess : preprocessNamed(asked);
    this.classes = classesOf(start);
    this.description = start.description;
    this.executor = executor;
    this.preprocess = preprocessFor(start.model.config, preprocess);
    this.batch = batch;
  }

  /** Loads a model. Throws what `openStart` throws, and CheckpointError for a backbone alone. */
  static async open(
    kind: ExecutorKind,
    options: InferenceOptions,
    caller: Caller<DownloadEvent>,
  ): Promise<Classifier> {
    const { from, best, batch, threads } = options;
    const start = await openStart(from, accessOf(options, caller, best));
    try {
      if (!start.hasClassifier) throw withoutClassifier(start);
      const { config } = start.model;
      const build: ModelBuilder = (images, mode) => buildModel(config, { batch: images, mode });
      const method = methodOf(start);
      const program = compile({ model: build, method, batch, evalBatch: batch });
      const executor = await kind.load(program, { threads });
      try {
        const seed = start.record?.seed ?? 0;
        loadWeights(executor, method.forward(build(1, 'eval')), start.checkpoint, seed);
        return new Classifier(start, executor, options);
      } catch (error) {
        await executor.dispose();
        throw error;
      }
    } finally {
      start.checkpoint.close();
    }
  }

  /** Batches of images as the model reads them; close it afterwards. */
  loader(source: SourceDescription, strict: boolean, workers: number): Loader {
    const { batch, preprocess } = this;
    const settings = { source, purpose: 'evaluate', batch, seed: 0, preprocess } as const;
    return new Loader({ ...settings, augment: augments.none, strict }, { workers });
  }

  close(): Promise<void> {
    return this.executor.dispose();
  }
}

/** The method that gives the weights their form. */
export function methodOf({ record, form }: Start): BoundMethod {
  const { method = PLAIN_METHOD, found = {} } = record ?? form ?? {};
  return parseMethod(method).with(found);
}

export function withoutClassifier({ path, description }: Start): CheckpointError {
  return new CheckpointError({
    where: path,
    expected: 'a model with a classifier',
    got: description,
    todo: 'Train one on your photos: thimble train photos --init with these weights',
  });
}
