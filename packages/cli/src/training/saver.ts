/**
 * What a save of a run is made of: its files, written into the folder of the save one after the other, and whole
 * copies of the run that are kept (`checkpoints/`). When that happens, the recorder says.
 *
 * A kept copy is the run as it stood, with names of its own for the same files: until the run moves on it takes no
 * room. Its log stays with the run.
 */
import type { Executor, HostData, Session } from '@thimble/core';
import { Garbage } from '@thimble/native';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder, replaceWithLink, writeAnew, writeTextAnew } from '../host/files.js';
import { writeDataFile } from '../run/data-file.js';
import { writeRunRecord } from '../run/folder.js';
import { formMetadata } from '../run/form.js';
import { writeRanks, type RanksFile } from '../run/ranks-file.js';
import type { RunRecord } from '../run/record.js';
import { keptFile, RUN_FILES } from '../run/saves.js';
import { stateBytes, writeState } from '../run/state.js';
import { writeSums } from '../run/sums.js';
import {
  checkpointBytes,
  checkpointMetadata,
  saveCheckpoint,
  storedTensors,
} from '../weights/checkpoint.js';
import { sha256Of } from '../weights/hashes.js';
import type { TrainingFolder } from './folder.js';
import type { RunPlan } from './run-plan.js';

/** What a kept copy has beside its record. */
const KEPT = [
  ...[RUN_FILES.model, RUN_FILES.best, RUN_FILES.state],
  ...[RUN_FILES.data, RUN_FILES.labels, RUN_FILES.ranks],
] as const;

/** Weights of this size are held sooner than written: epochs of larger models are long enough to write them. */
export const HELD_BYTES = 8e6;

export class Saver {
  /** SHA-256 of the run's files, by name. */
  private hashes: Readonly<Record<string, string>>;
  private readonly garbage = new Garbage(2 * HELD_BYTES);
  private readonly plan: RunPlan;
  private readonly session: Session;
  private readonly folder: TrainingFolder;

  constructor(plan: RunPlan, session: Session, folder: TrainingFolder) {
    this.plan = plan;
    this.session = session;
    this.folder = folder;
    this.hashes = plan.resumed?.files ?? {};
  }

  get files(): Readonly<Record<string, string>> {
    return this.hashes;
  }

  /** Bytes of the weights, and of the state. */
  get bytes(): { readonly checkpoint: number; readonly state: number } {
    const checkpoint = checkpointBytes(this.plan.step.model, this.metadata());
    return { checkpoint, state: stateBytes(this.session) };
  }

  /** Writes what stays the same for the whole run. @param ranks of a factored run */
  async unchanging(ranks: RanksFile | null): Promise<void> {
    const { plan, folder } = this;
    const { labels, data } = RUN_FILES;
    await writeTextAnew(folder.file(labels), `${plan.settings.classes.join('\n')}\n`);
    await writeDataFile(folder.file(data), plan);
    if (ranks) await writeRanks(folder.file(RUN_FILES.ranks), ranks);
    for (const name of [labels, data, ...(ranks ? [RUN_FILES.ranks] : [])]) {
      this.note(name, sha256Of(folder.file(name)));
    }
  }

  async weights(from: Pick<Executor, 'read'> = this.session.executor): Promise<void> {
    const { model } = RUN_FILES;
    await this.checkpoint(model, from);
  }

  /** A copy of the weights as they are now, from which they can be written later. */
  async held(): Promise<Pick<Executor, 'read'>> {
    const { executor } = this.session;
    const tensors = new Map<string, HostData>();
    for (const { name } of storedTensors(this.plan.step.model)) {
      const data = await executor.read(name);
      tensors.set(name, data);
      this.garbage.dropped(data.byteLength); // of those that were held before
    }
    return { read: (name) => Promise.resolve(tensors.get(name) ?? executor.read(name)) };
  }

  async state(): Promise<void> {
    const { state } = RUN_FILES;
    this.note(state, await writeState(this.folder.file(state), this.session));
  }

  /** Writes the best weights: those that were held, or the ones that were written last. */
  async best(from: Pick<Executor, 'read'> | null): Promise<void> {
    const { model, best } = RUN_FILES;
    if (from) {
      await this.checkpoint(best, from);
      return;
    }
    await replaceWithLink(this.folder.file(model), this.folder.file(best));
    this.note(best, this.hashes[model]);
  }

  /** Keeps the run as it was written last. @param name of the copy, as in `epoch-5` */
  async keep(name: string, record: RunRecord): Promise<void> {
    const { folder } = this;
    const kept = (file: string) => folder.file(keptFile(name, file));
    makeFolder(dirname(kept(RUN_FILES.record)));
    const files: Record<string, string> = {};
    for (const file of KEPT) {
      const from = existsSync(folder.file(file)) ? folder.file(file) : folder.saved(file);
      if (!existsSync(from)) continue;
      await replaceWithLink(from, kept(file));
      if (Object.hasOwn(this.hashes, file)) files[file] = this.hashes[file];
    }
    await writeRunRecord(kept(RUN_FILES.record), { ...record, files });
    await writeSums(kept(RUN_FILES.sums), kept(RUN_FILES.record), files);
  }

  /** Makes what was written count, with the record. Throws FileError. */
  async commit(record: RunRecord): Promise<void> {
    const { folder } = this;
    const path = folder.file(RUN_FILES.record);
    await writeRunRecord(path, record);
    await writeSums(folder.file(RUN_FILES.sums), path, record.files ?? {});
    folder.commit();
  }

  private async checkpoint(name: string, from: Pick<Executor, 'read'>): Promise<void> {
    const { folder, plan } = this;
    const path = folder.file(name);
    this.note(name, await saveCheckpoint(path, from, plan.step.model, this.metadata(), writeAnew));
  }

  private note(name: string, sha256: string): void {
    this.hashes = { ...this.hashes, [name]: sha256 };
  }

  private metadata(): ReadonlyMap<string, string> {
    const { model, classes, preprocess, found } = this.plan.settings;
    const { method, model: graph, sliceImages } = this.plan.step;
    return new Map([
      ...checkpointMetadata(model, classes, preprocess),
      ...formMetadata(method, graph, found, sliceImages),
    ]);
  }
}
