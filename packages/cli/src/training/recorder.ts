/**
 * Keeps the run folder up to date while training: it says what is saved when (saver.ts says how).
 *
 *   a save   at the end of an epoch, within one after SAVE_MS (or --save-every updates), where the run is cut and at
 *            its end; by default not before SAVE_SHARE times the time that the last one took has gone by, so that
 *            saving takes about a fiftieth of the time, however short epochs are
 *   best     the weights of a new best epoch at which no save is due are held until the next one, or the failure of
 *            the run, writes them: in memory up to HELD_BYTES, else written at once without counting yet. A process
 *            that is killed before finds them again when it goes on
 */
import {
  DataError,
  type Executor,
  type EpochEvent,
  type Session,
  type StepEvent,
  type TrainResult,
} from '@thimble/core';
import type { Loader } from '../data/loader.js';
import { resumedBytes, takeRoom, writtenBytes, type WrittenBytes } from '../host/room.js';
import { RunLog } from '../run/log.js';
import type { RanksFile } from '../run/ranks-file.js';
import type { EpochRecord, RunRecord } from '../run/record.js';
import { RUN_FILES } from '../run/saves.js';
import type { TrainingFolder } from './folder.js';
import type { RunPlan } from './run-plan.js';
import { HELD_BYTES, Saver } from './saver.js';

/** Time between two saves within an epoch: saving again is worth it by then. */
const SAVE_MS = 300_000;
/** And a multiple of what a save has taken: it shall not take more than a fiftieth of the time. */
const SAVE_SHARE = 50;
/** The best epoch, of which nothing is written yet. */
interface HeldBest {
  readonly weights: Pick<Executor, 'read'>;
  readonly record: RunRecord;
}

export class Recorder {
  record: RunRecord;
  best: EpochRecord | null = null;
  /** Time that saving took, since training began. */
  saveSeconds = 0;
  /** Updates of one epoch, on average: micro-batches left over at its end count in the next. */
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  /** Epoch of the weights that were written last, and of those that were saved; 0 before. */
  private writtenEpoch: number;
  private savedEpoch: number;
  /** The record as it was saved last, and with what was written since; null: nothing whole. */
  private committed: RunRecord;
  private staged: RunRecord | null = null;
  private held: HeldBest | null = null;
  private savedAt = 0;
  private saveMs = 0;
  private readonly plan: RunPlan;
  private readonly session: Session;
  private readonly folder: TrainingFolder;
  private readonly saver: Saver;
  private readonly log: RunLog;

  constructor(plan: RunPlan, session: Session, folder: TrainingFolder, passesPerEpoch: number) {
    const { microBatches } = plan.step;
    this.plan = plan;
    const { executor } = session;
    this.session = session;
    this.folder = folder;
    this.saver = new Saver(plan, session, folder);
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
      history: resumed?.history.slice(0, epochsDone(session)) ?? [],
      files: this.saver.files,
    };
    this.committed = this.record;
    for (const epoch of this.record.history) this.note(epoch);
    this.writtenEpoch = this.record.history.length;
    this.savedEpoch = this.writtenEpoch;
  }

  /**
   * Saves what is known before the first step, the weights that the run starts from included, where there is room
   * for the rest. Throws FileError, or the reason of `signal`, and leaves nothing of a new run then.
   *
   * @param ranks of a factored run
   */
  async start(signal: AbortSignal, ranks: RanksFile | null): Promise<void> {
    const { plan, folder, saver } = this;
    try {
      await takeRoom(folder.path, this.writtenBytes(), signal);
      const started = performance.now();
      if (plan.resumed) await this.log.goOnBehind(this.session.progress);
      else {
        await saver.unchanging(ranks);
        await saver.state();
        this.record = { ...this.record, files: saver.files };
      }
      await this.commit();
      this.saveMs = performance.now() - started;
    } catch (error) {
      if (!plan.resumed) folder.discard();
      throw error;
    }
  }

  /** Notes an update, and saves the run where it is time to. */
  async step(event: StepEvent): Promise<void> {
    this.log.add(event);
    const { saveEvery } = this.plan;
    const isDue =
      saveEvery === undefined
        ? this.isDueAfter(Math.max(SAVE_MS, SAVE_SHARE * this.saveMs))
        : this.session.step % saveEvery === 0;
    if (!isDue) return;
    await this.saving(async () => {
      const { saver, record } = this;
      // Of an epoch that was not saved: the record speaks of it, so what it has learned is to be there.
      if (this.writtenEpoch < record.history.length) await saver.weights();
      await saver.state();
      if (this.held) await saver.best(this.held.weights);
      this.held = null;
      this.writtenEpoch = record.history.length;
      this.record = { ...record, files: saver.files };
      await this.commit();
    });
  }

  /** Notes a finished epoch, and saves it where it is time to. Throws DataError when no validation image could be read. */
  async epoch(event: EpochEvent, validation: Loader): Promise<void> {
    const epoch = epochRecord(event, validation);
    this.log.add(event);
    const isBest = this.note(epoch);
    const { keepEvery, epochs } = this.record;
    const isLast = epoch.epoch >= epochs;
    const history = [...this.record.history, epoch];
    this.record = { ...this.record, history, status: isLast ? 'done' : 'running' };
    const isKept = keepEvery !== undefined && epoch.epoch % keepEvery === 0;
    const isDue = isLast || isKept || this.isEpochDue();
    if (!isDue && !isBest) return;
    if (!isDue && keepEvery === undefined && this.saver.bytes.checkpoint <= HELD_BYTES) {
      await this.timed(async () => {
        this.held = { weights: await this.saver.held(), record: this.record };
      });
      return;
    }
    const copies = [
      ...(keepEvery !== undefined && isBest ? ['best'] : []),
      ...(isKept ? [`epoch-${String(epoch.epoch)}`] : []),
    ];
    const save = async () => {
      await this.stage(isBest, copies);
      if (isDue) await this.settle();
    };
    if (isDue) await this.saving(save);
    else await this.timed(save);
  }

  /** Saves what an interrupt has cut. A new run without a step leaves nothing. */
  async finish({ steps, aborted }: TrainResult): Promise<void> {
    if (steps === 0 && !this.plan.resumed) {
      this.folder.discard();
      return;
    }
    const isCut = aborted && this.record.history.length < this.record.epochs;
    if (isCut && steps > 0) await this.stage(false, []);
    const status = isCut ? 'interrupted' : 'done';
    if (status !== this.record.status) this.record = { ...this.record, status };
    if (this.record !== this.committed) await this.settle();
  }

  /** Marks the run as failed; the reason of the failure is more useful than a second one here. */
  async fail(): Promise<void> {
    const { folder } = this;
    folder.giveRoom();
    if (folder.keepsEarlier) return;
    try {
      await this.writeHeld();
    } catch {
      this.staged = null; // what was saved last stays
    }
    const { staged } = this;
    if (staged === null) {
      folder.dropWriting();
      this.writtenEpoch = this.savedEpoch;
    }
    this.record = { ...(staged ?? this.committed), status: 'failed' };
    await this.commit().catch(() => undefined);
  }

  /** Writes what was held, for a run that fails: the state stays the one that was saved last. */
  private async writeHeld(): Promise<void> {
    const { held, saver } = this;
    if (!held) return;
    this.held = null;
    this.staged = null;
    await saver.weights(held.weights);
    await saver.best(null);
    this.writtenEpoch = held.record.history.length;
    this.staged = { ...held.record, files: saver.files };
  }

  /** What there is when the run fails now. */
  get remains(): string {
    const { path, keepsEarlier } = this.folder;
    if (keepsEarlier) return `the earlier run in ${path} is as it was`;
    if (this.savedEpoch === 0) return 'no weights were saved';
    return `${path} keeps the weights after epoch ${String(this.savedEpoch)}`;
  }

  private writtenBytes(): WrittenBytes {
    const { checkpoint, state } = this.saver.bytes;
    const { epochs, history, keepEvery } = this.record;
    const kept = keepEvery === undefined ? 0 : keptCopies(keepEvery, history.length, epochs);
    if (this.plan.resumed) return resumedBytes(checkpoint, state, kept);
    return writtenBytes(checkpoint, state, epochs, kept, this.folder.replacedBytes);
  }

  private isEpochDue(): boolean {
    if (this.plan.saveEvery !== undefined || this.folder.keepsEarlier) return true;
    return this.isDueAfter(SAVE_SHARE * this.saveMs);
  }

  private isDueAfter(ms: number): boolean {
    return performance.now() - this.savedAt >= ms;
  }

  /** A whole save, whose time says when the next one is due. */
  private async saving(save: () => Promise<void>): Promise<void> {
    this.saveMs = await this.timed(save);
  }

  /** Milliseconds that it took. */
  private async timed(save: () => Promise<void>): Promise<number> {
    const started = performance.now();
    await save();
    const ms = performance.now() - started;
    this.saveSeconds += ms / 1000;
    return ms;
  }

  /** Writes the run as it stands. @param copies that are kept of it */
  private async stage(isBest: boolean, copies: readonly string[]): Promise<void> {
    const { saver } = this;
    this.staged = null;
    await saver.weights();
    await saver.state();
    if (isBest || this.held) await saver.best(isBest ? null : (this.held?.weights ?? null));
    this.held = null;
    this.record = { ...this.record, files: saver.files };
    for (const name of copies) await saver.keep(name, this.cutRecord());
    this.writtenEpoch = this.record.history.length;
    this.staged = this.record;
  }

  /** The record of a copy: of a run that was cut here, unless it was the end. */
  private cutRecord(): RunRecord {
    return this.record.status === 'done' ? this.record : { ...this.record, status: 'interrupted' };
  }

  /** Saves what was written, with the record. */
  private async commit(): Promise<void> {
    this.staged = null;
    this.log.flush();
    await this.saver.commit(this.record);
    this.committed = this.record;
    this.savedEpoch = this.writtenEpoch;
    this.savedAt = performance.now();
  }

  /** The same, in the place of an earlier run. */
  private async settle(): Promise<void> {
    await this.commit();
    this.folder.settle();
  }

  /** Whether it is the best epoch so far. */
  private note(epoch: EpochRecord): boolean {
    if (this.best !== null && !isBetter(epoch, this.best)) return false;
    this.best = epoch;
    return true;
  }
}

/** A run that failed may have a record of epochs behind its state. */
function epochsDone({ progress: { epoch, isEpochDone } }: Session): number {
  return isEpochDone ? epoch : epoch - 1;
}

function epochRecord(event: EpochEvent, validation: Loader): EpochRecord {
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
  return { epoch, step, trainLoss, accuracy, loss, seconds };
}

/** Of equal accuracies the lower loss: few images have few accuracies. Of equal losses the earlier epoch. */
function isBetter(one: EpochRecord, other: EpochRecord): boolean {
  if (one.accuracy !== other.accuracy) return one.accuracy > other.accuracy;
  return one.loss < other.loss;
}

/** Copies that are kept from now on, the best one included. */
function keptCopies(every: number, done: number, epochs: number): number {
  return Math.floor(epochs / every) - Math.floor(done / every) + 1;
}
