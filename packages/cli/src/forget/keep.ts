/**
 * keep: how forgetting and its undoing come into a run's folder. All files are made beside the earlier ones and
 * put in their place together (training/folder.ts), so that the earlier weights stay until the new ones are whole.
 *
 * Both files of weights become the ones that have forgotten: what is kept beside would still know. The one that
 * forgetting did not start from is set aside, where it differs, and comes back with --undo.
 */
import { ConfigError, type Change, type Changes } from '@thimble/core';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { makeFolder, replaceWithCopy, replaceWithLink } from '../host/files.js';
import { writeForgotten } from '../run/folder.js';
import type { ForgottenRecord } from '../run/forgotten.js';
import type { RunRecord } from '../run/record.js';
import { CHECKPOINTS, RUN_FILES } from '../run/saves.js';
import { writeSums } from '../run/sums.js';
import type { TrainingFolder } from '../training/folder.js';
import { sha256Of } from '../weights/hashes.js';
import { patchedCopy } from '../weights/patch.js';
import { readUndo, withEarlier, writeUndo } from './undo.js';

/** What forgetting did to the weights. */
export interface Dampened {
  readonly record: ForgottenRecord;
  readonly changes: Changes;
  /** New values of the elements that changed. */
  readonly after: ReadonlyMap<string, Float32Array>;
}

/** Writes what was forgotten; bytes of what undoing needs. Throws FileError. */
export async function keepForgotten(
  folder: TrainingFolder,
  record: RunRecord,
  { record: forgotten, changes, after }: Dampened,
): Promise<number> {
  const start = forgotten.weights === 'best' ? RUN_FILES.best : RUN_FILES.model;
  const patches = patchesOf(changes, (name) => after.get(name));
  patchedCopy(join(folder.path, start), folder.file(RUN_FILES.model), patches);
  if (isHere(folder, RUN_FILES.best)) {
    await replaceWithCopy(folder.file(RUN_FILES.model), folder.file(RUN_FILES.best));
  }
  const undone = join(folder.path, RUN_FILES.forgotten);
  const earlier = record.forgotten ? readUndo(undone) : null;
  const undo = earlier
    ? { ...earlier, changes: withEarlier(earlier.changes, changes) }
    : { changes, weights: forgotten.weights };
  const bytes = await writeUndo(folder.file(RUN_FILES.forgotten), undo);
  if (earlier) await copyOver(folder, RUN_FILES.setAside);
  else await setAside(folder, start);
  await settle(folder, [...(record.forgotten ?? []), forgotten]);
  return bytes;
}

/** Brings back the weights that training left. Throws ConfigError where nothing was forgotten. */
export async function undoForgotten(folder: TrainingFolder, record: RunRecord): Promise<void> {
  if (!record.forgotten) throw nothingForgotten(folder.path);
  const { changes, weights } = readUndo(join(folder.path, RUN_FILES.forgotten));
  const [start, other] =
    weights === 'best' ? [RUN_FILES.best, RUN_FILES.model] : [RUN_FILES.model, RUN_FILES.best];
  const patches = patchesOf(changes, (_, { before: values }) => values);
  patchedCopy(join(folder.path, start), folder.file(start), patches);
  const aside = join(folder.path, RUN_FILES.setAside);
  if (isHere(folder, other)) {
    await replaceWithCopy(existsSync(aside) ? aside : folder.file(start), folder.file(other));
  }
  await settle(folder, null);
}

/** Files that forgetting leaves alone. */
const UNTOUCHED = [
  RUN_FILES.labels,
  RUN_FILES.ranks,
  RUN_FILES.state,
  RUN_FILES.data,
  RUN_FILES.log,
];

/** Files that the record has no hash of. */
const OWN_HASH: readonly string[] = [RUN_FILES.log, RUN_FILES.record, RUN_FILES.sums];

/** Writes the record, which comes last, and puts all files in their place. */
async function settle(
  folder: TrainingFolder,
  forgotten: readonly ForgottenRecord[] | null,
): Promise<void> {
  for (const name of [...UNTOUCHED, ...keptFiles(folder.path)]) await copyOver(folder, name);
  const files = Object.values(RUN_FILES).filter(
    (name) => !OWN_HASH.includes(name) && existsSync(folder.file(name)),
  );
  const hashes = files.map((name) => [name, sha256Of(folder.file(name))] as const);
  const record = join(folder.path, RUN_FILES.record);
  const written = folder.file(RUN_FILES.record);
  await writeForgotten(record, written, new Map(hashes), forgotten);
  await writeSums(folder.file(RUN_FILES.sums), written, Object.fromEntries(hashes));
  folder.settle();
}

function patchesOf(
  changes: Changes,
  valuesOf: (name: string, change: Change) => Float32Array | undefined,
) {
  return new Map(
    [...changes].map(([name, change]) => {
      const values = valuesOf(name, change) ?? change.before;
      return [name, { indices: change.indices, values }];
    }),
  );
}

/** Keeps the weights that forgetting did not start from, where they are others. */
async function setAside(folder: TrainingFolder, start: string): Promise<void> {
  const other = start === RUN_FILES.best ? RUN_FILES.model : RUN_FILES.best;
  if (!isHere(folder, other)) return;
  const [one, two] = [start, other].map((name) => sha256Of(join(folder.path, name)));
  if (one === two) return;
  await replaceWithLink(join(folder.path, other), folder.file(RUN_FILES.setAside));
}

/** A file of the earlier run that stays as it is. */
async function copyOver(folder: TrainingFolder, name: string): Promise<void> {
  if (!isHere(folder, name)) return;
  makeFolder(dirname(folder.file(name)));
  await replaceWithLink(join(folder.path, name), folder.file(name));
}

/** Of the copies that were kept while the run was trained: what the run calls their files. */
function keptFiles(run: string): readonly string[] {
  const kept = join(run, CHECKPOINTS);
  if (!existsSync(kept)) return [];
  const entries = readdirSync(kept, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(run, join(entry.parentPath, entry.name)));
}

function isHere(folder: TrainingFolder, name: string): boolean {
  return existsSync(join(folder.path, name));
}

function nothingForgotten(run: string): ConfigError {
  return new ConfigError({
    where: `--undo of ${run}`,
    expected: 'a run that has forgotten something',
    got: 'one that has not',
    todo: 'Leave --undo out',
  });
}
