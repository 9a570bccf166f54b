/** Keeps the run folder up to date while training: weights, best weights, record. */
import {
  DataError,
  type EpochEvent,
  type Session,
  type StepEvent,
  type TrainResult,
} from '@thimble/core';
import { checkpointBytes, checkpointMetadata, saveCheckpoint } from '../weights/checkpoint.js';
import type { Loader } from '../data/loader.js';
import { replaceWithLink, writeAnew, writeTextAnew } from '../host/files.js';
import { resumedBytes, takeRoom, writtenBytes, type WrittenBytes } from '../host/room.js';
import { writeDataFile } from '../run/data-file.js';
import { writeRunRecord } from '../run/folder.js';
import { RunLog } from '../run/log.js';
import { writeRanks, type RanksFile } from '../run/ranks-file.js';
import { RUN_FILES } from '../run/saves.js';
import { stateBytes, writeState } from '../run/state.js';
import { sha256Of } from '../weights/hashes.js';
import type { RunPlan } from './run-plan.js';
import type { EpochRecord, RunRecord } from '../run/record.js';
import { formMetadata } from '../run/form.js';
import type { TrainingFolder } from './folder.js';

/** Time between two saves within an epoch: saving again is worth it by then. */
const SAVE_MS = 300_000;
/** And a multiple of what a save has taken: it shall not take more than a fiftieth of the time. */
const SAVE_SHARE = 50;

export class Recorder {
  record: RunRecord;
  best: EpochRecord | null = null;
  /** Epoch of the weights that were saved last; 0 before. */
  private savedEpoch = 0;
  /** The record as it was saved last. */
  private committed: RunRecord;
  /** Time that saving took, since training began. */
  saveSeconds = 0;
  private savedAt = 0;
  private saveMs = 0;
  /** Updates of one epoch, on average: micro-batches left over at its end count in the next. */
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  private readonly plan: RunPlan;
  private readonly session: Session;
  private readonly folder: TrainingFolder;
  private readonly log: RunLog;

  constructor(plan: RunPlan, session: Session, folder: TrainingFolder, passesPerEpoch: number) {
    const { microBatches } = plan.step;
    this.plan = plan;
    const { executor } = session;
    this.session = session;
    this.folder = folder;
    this.log = new RunLog(() => folder.saved(RUN_FILES.log));
    this.stepsPerEpoch = passesPerEpoch / microBatches;
    const { warmup, settings, resumed } = plan;
    this.totalSteps = Math.floor((passesPerEpoch * settings.epochs) / microBatches);
    const share = warmup < 1 ? warmup : warmup / settings.epochs;
    const warmupSteps = Math.min(this.totalSteps, Math.round(share * this.totalSteps));
    this.record = {
      ...settings,
      warmupSteps: resumed?.warmupSteps ?? warmupSteps,
      executor: { name: executor.name, detail: executor.detail, threads: executor.threads },
      status: 'running',
      history: resumed?.history ?? [],
      files: resumed?.files ?? {},
    };
    this.committed = this.record;
    for (const epoch of this.record.history) this.note(epoch);
    this.savedEpoch = this.record.history.length;
  }

  /**
   * Saves what is known before the first step, the weights that the run starts from included, where there is room
   * for the rest. Throws FileError, or the reason of `signal`, and leaves nothing of a new run then.
   *
   * @param ranks of a factored run
   */
  async start(signal: AbortSignal, ranks: RanksFile | null): Promise<void> {
    const { plan, folder } = this;
    try {
      await takeRoom(folder.path, this.writtenBytes(), signal);
      if (plan.resumed) await this.log.goOnBehind(this.session.progress);
      else {
        await writeTextAnew(this.path(RUN_FILES.labels), `${this.record.classes.join('\n')}\n`);
        await writeDataFile(this.path(RUN_FILES.data), plan);
        if (ranks) await writeRanks(this.path(RUN_FILES.ranks), ranks);
        for (const name of [
          RUN_FILES.labels,
          RUN_FILES.data,
          ...(ranks ? [RUN_FILES.ranks] : []),
        ]) {
          this.noteFile(name, sha256Of(this.path(name)));
        }
        await this.writeState();
      }
      await this.commit();
    } catch (error) {
      if (!plan.resumed) folder.discard();
      throw error;
    }
  }

  /** Notes an update, and saves the run where it is time to. */
  async step(event: StepEvent): Promise<void> {
    this.log.add(event);
    const { saveEvery } = this.plan;
    const since = performance.now() - this.savedAt;
    const isDue =
      saveEvery === undefined
        ? since > Math.max(SAVE_MS, SAVE_SHARE * this.saveMs)
        : this.session.step % saveEvery === 0;
    if (!isDue) return;
    await this.timed(async () => {
      await this.writeState();
      await this.commit();
    });
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
    this.log.add(event);
    await this.timed(async () => {
      const model = await this.writeModel();
      await this.writeState();
      if (this.note(record)) {
        await replaceWithLink(this.path(RUN_FILES.model), this.path(RUN_FILES.best));
        this.noteFile(RUN_FILES.best, model);
      }
      this.record = { ...this.record, history: [...this.record.history, record] };
      await this.settle();
    });
    this.savedEpoch = epoch;
  }

  /** Saves what an interrupt has cut. A new run without a step leaves nothing. */
  async finish({ steps, aborted }: TrainResult): Promise<void> {
    if (steps === 0 && !this.plan.resumed) {
      this.folder.discard();
      return;
    }
    const isCut = aborted && this.record.history.length < this.record.epochs;
    if (isCut && steps > 0) {
      await this.writeModel();
      await this.writeState();
    }
    this.record = { ...this.record, status: isCut ? 'interrupted' : 'done' };
    await this.settle();
  }

  /** Marks the run as failed; the reason of the failure is more useful than a second one here. */
  async fail(): Promise<void> {
    this.record = { ...this.committed, status: 'failed' };
    this.folder.giveRoom();
    if (this.folder.keepsEarlier) return;
    this.folder.dropWriting();
    await this.commit().catch(() => undefined);
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
    const state = stateBytes(this.session);
    if (this.plan.resumed) return resumedBytes(checkpoint, state);
    return writtenBytes(checkpoint, state, this.record.epochs, this.folder.replacedBytes);
  }

  private async timed(save: () => Promise<void>): Promise<void> {
    const started = performance.now();
    await save();
    this.saveMs = performance.now() - started;
    this.saveSeconds += this.saveMs / 1000;
  }

  /** Saves what was written, with the record. */
  private async commit(): Promise<void> {
    this.log.flush();
    await writeRunRecord(this.path(RUN_FILES.record), this.record);
    this.folder.commit();
    this.committed = this.record;
    this.savedAt = performance.now();
  }

  /** The same, in the place of an earlier run. */
  private async settle(): Promise<void> {
    await this.commit();
    this.folder.settle();
  }

  /** Its SHA-256. */
  private async writeModel(): Promise<string> {
    const { model } = this.plan.step;
    const { executor } = this.session;
    const path = this.path(RUN_FILES.model);
    const hash = await saveCheckpoint(path, executor, model, this.metadata(), writeAnew);
    this.noteFile(RUN_FILES.model, hash);
    return hash;
  }

  private async writeState(): Promise<void> {
    const hash = await writeState(this.path(RUN_FILES.state), this.session);
    this.noteFile(RUN_FILES.state, hash);
  }

  private noteFile(name: string, sha256: string): void {
    this.record = { ...this.record, files: { ...this.record.files, [name]: sha256 } };
  }

  /** Whether it is the best epoch so far. */
  private note(epoch: EpochRecord): boolean {
    if (this.best !== null && !isBetter(epoch, this.best)) return false;
    this.best = epoch;
    return true;
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
