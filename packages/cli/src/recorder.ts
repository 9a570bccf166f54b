/** Keeps the run folder up to date while training: weights, best weights, record. */
import { DataError, TrainingError, type EpochEvent, type Executor } from '@thimble/core';
import { join } from 'node:path';
import { checkpointMetadata, saveCheckpoint } from './checkpoint.js';
import type { Loader } from './data/loader.js';
import { replaceWithCopy } from './files.js';
import { RUN_FILES, writeRunRecord } from './run-folder.js';
import type { RunPlan } from './run-plan.js';
import type { EpochRecord, RunRecord } from './run-record.js';
import { factorMetadata } from './factors.js';

export class Recorder {
  record: RunRecord;
  best: EpochRecord | null = null;
  /** Updates of one epoch, on average: micro-batches left over at its end count in the next. */
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  private readonly plan: RunPlan;
  private readonly executor: Executor;

  constructor(plan: RunPlan, executor: Executor, passesPerEpoch: number) {
    const { microBatches } = plan.setup;
    this.plan = plan;
    this.executor = executor;
    this.stepsPerEpoch = passesPerEpoch / microBatches;
    this.totalSteps = Math.floor((passesPerEpoch * plan.epochs) / microBatches);
    const share = plan.warmup < 1 ? plan.warmup : plan.warmup / plan.epochs;
    const warmupSteps = Math.min(this.totalSteps, Math.round(share * this.totalSteps));
    this.record = initialRecord(plan, executor, warmupSteps);
  }

  /** Saves a finished epoch. Throws DataError when no validation image could be read. */
  async epoch(event: EpochEvent, validation: Loader): Promise<void> {
    const { epoch, step, seconds } = event;
    const evaluation = event.validation;
    if (!evaluation || evaluation.images === 0) {
      throw new DataError({
        where: 'validation set',
        expected: 'at least one readable image',
        got: `${String(validation.skipped.length)} unreadable ones`,
        todo: 'Check that the files are images',
      });
    }
    const { accuracy, loss } = evaluation;
    if (!Number.isFinite(loss)) throw diverged(epoch, step, loss);
    const trainLoss = Number.isFinite(event.loss) ? event.loss : null;
    const record = { epoch, step, trainLoss, accuracy, loss, seconds };
    await this.save();
    if (this.best === null || accuracy > this.best.accuracy) {
      this.best = record;
      await replaceWithCopy(this.path(RUN_FILES.model), this.path(RUN_FILES.best));
    }
    this.record = { ...this.record, history: [...this.record.history, record] };
    await writeRunRecord(this.plan.folder, this.record);
  }

  async finish(status: 'done' | 'interrupted'): Promise<void> {
    if (status === 'interrupted') await this.save();
    this.record = { ...this.record, status };
    await writeRunRecord(this.plan.folder, this.record);
  }

  /** Marks the run as failed; the reason of the failure is more useful than a second one here. */
  async fail(): Promise<void> {
    this.record = { ...this.record, status: 'failed' };
    await writeRunRecord(this.plan.folder, this.record).catch(() => undefined);
  }

  private save(): Promise<void> {
    const { setup, classes, preprocess, ranks } = this.plan;
    const { method, model, pass } = setup;
    const named = { name: setup.modelName, config: setup.config };
    const metadata = new Map([
      ...checkpointMetadata(named, classes, preprocess),
      ...factorMetadata(method, model, ranks, pass),
    ]);
    return saveCheckpoint(this.path(RUN_FILES.model), this.executor, setup.model, metadata);
  }

  private path(file: string): string {
    return join(this.plan.folder, file);
  }
}

/** The step before was the one that broke the weights: its own loss was still finite. */
function diverged(epoch: number, step: number, loss: number): TrainingError {
  return new TrainingError({
    where: `validation after step ${String(step)}, epoch ${String(epoch)}`,
    expected: 'a finite loss',
    got: String(loss),
    todo: 'Lower --lr, or clip gradients with --clip 1; the last saved checkpoint is untouched',
  });
}

function initialRecord(plan: RunPlan, executor: Executor, warmupSteps: number): RunRecord {
  const { setup, classes, preprocess, learningRate, smoothing, clip, epochs, seed, init } = plan;
  const { modelName, config, method, saved, optimizer, pass, microBatches } = setup;
  return {
    model: { name: modelName, config },
    method: method.text,
    ranks: plan.ranks,
    saved,
    ...(plan.memory && { memory: plan.memory }),
    classes,
    preprocess,
    augment: plan.augmentName,
    optimizer: { name: optimizer.name, settings: optimizer.settings },
    learningRate,
    warmupSteps,
    smoothing,
    clip,
    batch: pass * microBatches,
    microBatches,
    epochs,
    seed,
    init,
    ...(plan.origin && { origin: plan.origin }),
    data: plan.data,
    executor: { name: executor.name, detail: executor.detail, threads: executor.threads },
    status: 'running',
    history: [],
  };
}
