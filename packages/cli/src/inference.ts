/** A trained run made ready to classify: its evaluation program, loaded with its weights. */
import {
  augments,
  buildModel,
  compile,
  loadWeights,
  parseMethod,
  type Executor,
  type ExecutorKind,
} from '@thimble/core';
import { openCheckpoint } from './checkpoint.js';
import { Loader } from './data/loader.js';
import type { SourceDescription } from './data/source.js';
import { checkpointPath, readRunRecord, type RunRecord } from './run-folder.js';

export interface InferenceOptions {
  readonly run: string;
  /** The weights of the best epoch instead of the last one. */
  readonly best: boolean;
  readonly batch: number;
  readonly threads: number;
}

export class Classifier {
  readonly record: RunRecord;
  readonly executor: Executor;
  private readonly batch: number;

  private constructor(record: RunRecord, executor: Executor, batch: number) {
    this.record = record;
    this.executor = executor;
    this.batch = batch;
  }

  /** Loads a run. Throws FormatError or CheckpointError for a damaged run folder. */
  static async open(kind: ExecutorKind, options: InferenceOptions): Promise<Classifier> {
    const { run, best, batch, threads } = options;
    const record = readRunRecord(run);
    const path = checkpointPath(run, best);
    const build = (images: number) => buildModel(record.model.config, { batch: images });
    const method = parseMethod(record.method).withRanks(record.ranks);
    const program = compile({ model: build, method, batch, evalBatch: batch });
    const executor = await kind.load(program, { threads });
    try {
      const checkpoint = openCheckpoint(path);
      try {
        loadWeights(executor, method.forward(build(1)), checkpoint, record.seed);
      } finally {
        checkpoint.close();
      }
      return new Classifier(record, executor, batch);
    } catch (error) {
      await executor.dispose();
      throw error;
    }
  }

  /** Batches of images as the model reads them; close it afterwards. */
  loader(source: SourceDescription, strict: boolean, workers: number): Loader {
    const { preprocess, seed } = this.record;
    const augment = augments.none;
    const settings = { source, purpose: 'evaluate', batch: this.batch, seed, preprocess } as const;
    return new Loader({ ...settings, augment, strict }, { workers });
  }

  close(): Promise<void> {
    return this.executor.dispose();
  }
}
