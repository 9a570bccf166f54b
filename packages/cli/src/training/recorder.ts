/** Keeps the run folder up to date while training: weights, best weights, record. */
import { DataError, type EpochEvent, type Session, type TrainResult } from '@thimble/core';
import { checkpointBytes, checkpointMetadata, saveCheckpoint } from '../weights/checkpoint.js';
import type { Loader } from '../data/loader.js';
import { replaceWithCopy, replaceWithText } from '../host/files.js';
import { writtenBytes, takeRoom, type WrittenBytes } from '../host/room.js';
import { RUN_FILES, writeRunRecord } from '../run/folder.js';
import type { RunPlan } from './run-plan.js';
import type { EpochRecord, RunRecord } from '../run/record.js';
import { formMetadata } from '../run/form.js';
import type { TrainingFolder } from './folder.js';

export class Recorder {
  record: RunRecord;
  best: EpochRecord | null = null;
  /** Epoch of the weights that were saved last; 0 before. */
  private savedEpoch = 0;
  /** Updates of one epoch, on average: micro-batches left over at its end count in the next. */
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  private readonly plan: RunPlan;
  private readonly session: Session;
  private readonly folder: TrainingFolder;

  constructor(plan: RunPlan, session: Session, folder: TrainingFolder, passesPerEpoch: number) {
    const { microBatches } = plan.step;
    this.plan = plan;
    const { executor } = session;
    this.session = session;
    this.folder = folder;
    this.stepsPerEpoch = passesPerEpoch / microBatches;
    const { warmup, settings } = plan;
    this.totalSteps = Math.floor((passesPerEpoch * settings.epochs) / microBatches);
    const share = warmup < 1 ? warmup : warmup / settings.epochs;
    const warmupSteps = Math.min(this.totalSteps, Math.round(share * this.totalSteps));
    this.record = {
      ...settings,
      warmupSteps,
      executor: { name: executor.name, detail: executor.detail, threads: executor.threads },
      status: 'running',
      history: [],
    };
  }

  /**
   * Writes what is known before the first step, where there is room for the rest. Throws FileError, or the
   * reason of `signal`, and leaves nothing then.
   */
  async start(signal: AbortSignal): Promise<void> {
    try {
      await takeRoom(this.folder.path, this.writtenBytes(), signal);
      await replaceWithText(this.path(RUN_FILES.labels), `${this.record.classes.join('\n')}\n`);
      await this.write();
    } catch (error) {
      this.folder.discard();
      throw error;
    }
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
    const trainLoss = Number.isFinite(event.loss) ? event.loss : null;
    const record = { epoch, step, trainLoss, accuracy, loss, seconds };
    await this.save();
    this.savedEpoch = epoch;
    if (this.best === null || isBetter(record, this.best)) {
      this.best = record;
      await replaceWithCopy(this.path(RUN_FILES.model), this.path(RUN_FILES.best));
    }
    this.record = { ...this.record, history: [...this.record.history, record] };
    await this.write();
    this.folder.settle();
  }

  /** Saves what an interrupt has cut. A run without a step leaves nothing. */
  async finish({ steps, aborted }: TrainResult): Promise<void> {
    if (steps === 0) {
      this.folder.discard();
      return;
    }
    const isCut = aborted && this.record.history.length < this.record.epochs;
    if (isCut) await this.save();
    this.record = { ...this.record, status: isCut ? 'interrupted' : 'done' };
    await this.write();
    this.folder.settle();
  }

  /** Marks the run as failed; the reason of the failure is more useful than a second one here. */
  async fail(): Promise<void> {
    this.record = { ...this.record, status: 'failed' };
    this.folder.giveRoom();
    if (!this.folder.keepsEarlier) await this.write().catch(() => undefined);
  }

  /** What there is when the run fails now. */
  get remains(): string {
    const { path, keepsEarlier } = this.folder;
    if (keepsEarlier) return `the earlier run in ${path} is as it was`;
    if (this.savedEpoch === 0) return 'no weights were saved';
    return `${path} keeps the weights after epoch ${String(this.savedEpoch)}`;
  }

  private writtenBytes(): WrittenBytes {
    const checkpoint = checkpointBytes(this.plan.step.model, this.metadata());
    return writtenBytes(checkpoint, this.record.epochs, this.folder.replacedBytes);
  }

  private write(): Promise<void> {
    return writeRunRecord(this.path(RUN_FILES.record), this.record);
  }

  private save(): Promise<void> {
    const { session, plan } = this;
    const { executor } = session;
    return saveCheckpoint(this.path(RUN_FILES.model), executor, plan.step.model, this.metadata());
  }

  private metadata(): ReadonlyMap<string, string> {
    const { model, classes, preprocess, found } = this.record;
    const { method, model: graph, sliceImages } = this.plan.step;
    return new Map([
      ...checkpointMetadata(model, classes, preprocess),
      ...formMetadata(method, graph, found, sliceImages),
    ]);
  }

  private path(file: string): string {
    return this.folder.file(file);
  }
}

/** Of equal accuracies the lower loss: few images have few accuracies. */
function isBetter(one: EpochRecord, other: EpochRecord): boolean {
  if (one.accuracy !== other.accuracy) return one.accuracy > other.accuracy;
  return one.loss < other.loss;
}
