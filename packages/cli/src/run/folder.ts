/**
 * The run folder: what training leaves behind, and what `eval` and `predict` read.
 *
 *   run.json            configuration, classes, preprocessing, versions, a record of each epoch
 *   model.safetensors   weights after the last good epoch, or where the run was interrupted
 *   best.safetensors    weights of the epoch with the highest validation accuracy; of equal ones, with
 *                       the lowest loss
 *   ranks.json          of a run with ranks: these, and what they were chosen from
 *   forgotten.safetensors   after thimble forget: weights that were dampened, as training had left them
 *   set-aside.safetensors   after thimble forget: the weights that it did not start from, where those differ
 *   labels.txt          names of the classes, one per line, in the order of the model's outputs
 *
 * Every file is replaced as a whole. `training/folder.ts` says how they come to lie there.
 */
import { FormatError, InternalError } from '@thimble/core';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { replaceWithText } from '../host/files.js';
import type { ForgottenRecord } from './forgotten.js';
import { parseRunRecord, RUN_FORMAT, RUN_VERSION, writtenRun, type RunRecord } from './record.js';
import { VERSION } from '../host/version.js';
import { parseFile, parseJsonObject } from '../weights/json-file.js';

export const RUN_FILES = {
  record: 'run.json',
  model: 'model.safetensors',
  best: 'best.safetensors',
  labels: 'labels.txt',
  ranks: 'ranks.json',
  forgotten: 'forgotten.safetensors',
  setAside: 'set-aside.safetensors',
} as const;

/** Replaces the record in the file `path`. */
export async function writeRunRecord(path: string, record: RunRecord): Promise<void> {
  const written = { thimble: VERSION, node: process.version };
  const file = { format: RUN_FORMAT, version: RUN_VERSION, ...written, ...writtenRun(record) };
  await replaceWithText(path, `${JSON.stringify(file, finite, 2)}\n`);
}

/**
 * Writes the record in the file `from` to `to` with what the run has forgotten; all else stays as it is there, the
 * versions that trained it too. Throws FileError and FormatError. @param forgotten null: nothing
 */
export async function writeForgotten(
  from: string,
  to: string,
  forgotten: readonly ForgottenRecord[] | null,
): Promise<void> {
  const what = 'the record of a run';
  const written = parseFile(from, what, (text) => parseJsonObject(from, text));
  const others = Object.entries(written).filter(([key]) => key !== 'forgotten');
  const file = { ...Object.fromEntries(others), ...(forgotten && { forgotten }) };
  await replaceWithText(to, `${JSON.stringify(file, finite, 2)}\n`);
}

/** JSON has no other numbers: they would become null without a word. */
function finite(key: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  throw InternalError.of(`${RUN_FILES.record}, ${key}`, 'a finite number', String(value));
}

/** Reads the record of a run. Throws FileError and FormatError. */
export function readRunRecord(path: string): RunRecord {
  const file = join(path, RUN_FILES.record);
  return parseFile(file, 'the record of a run', (text) => parseRunRecord(file, text));
}

/**
 * The checkpoint of a run: the last one, or the best. Throws FormatError when there is none yet.
 */
export function checkpointPath(path: string, best: boolean): string {
  const file = join(path, best ? RUN_FILES.best : RUN_FILES.model);
  if (existsSync(file)) return file;
  throw new FormatError({
    where: file,
    expected: 'a saved model',
    got: 'nothing at this path',
    todo: 'Train for at least one epoch; a run saves after every epoch',
  });
}
