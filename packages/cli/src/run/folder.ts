/**
 * The run folder: what training leaves behind, and what `eval` and `predict` read.
 *
 *   run.json            configuration, classes, preprocessing, versions, a record of each epoch
 *   model.safetensors   weights after the last good epoch, or where the run was interrupted
 *   best.safetensors    weights of the epoch with the highest validation accuracy; of equal ones, with
 *                       the lowest loss
 *   state.safetensors   all that training goes on from, where it was saved last: weights, moments, the place in the data
 *   data.json           the images of training and validation, to see whether they have changed
 *   log.jsonl           a line for each update and epoch
 *   ranks.json          of a run with ranks: these, and what they were chosen from
 *   forgotten.safetensors   after thimble forget: weights that were dampened, as training had left them
 *   set-aside.safetensors   after thimble forget: the weights that it did not start from, where those differ
 *   labels.txt          names of the classes, one per line, in the order of the model's outputs
 *   SHA256SUMS          of the record and of the files that it knows (sums.ts)
 *   checkpoints/        whole copies of the run that are kept: epoch-<n>, and best
 *
 * All files of a save take their place together (saves.ts). `training/folder.ts` says who may write them.
 */
import { FormatError, InternalError, schema } from '@thimble/core';
import { existsSync } from 'node:fs';
import { writeTextAnew } from '../host/files.js';
import type { ForgottenRecord } from './forgotten.js';
import { parseRunRecord, RUN_FORMAT, RUN_VERSION, writtenRun, type RunRecord } from './record.js';
import { RUN_FILES, runFile } from './saves.js';
import { checkRecord } from './sums.js';
import { VERSION } from '../host/version.js';
import { sha256Of } from '../weights/hashes.js';
import { parseFile, parseJsonObject } from '../weights/json-file.js';

/** Writes the record into a save. */
export async function writeRunRecord(path: string, record: RunRecord): Promise<void> {
  const written = { thimble: VERSION, node: process.version };
  const file = { format: RUN_FORMAT, version: RUN_VERSION, ...written, ...writtenRun(record) };
  await writeTextAnew(path, `${JSON.stringify(file, finite, 2)}\n`);
}

/**
 * Writes the record in the file `from` to `to` with what the run has forgotten, and the hashes of its files where it
 * has any; all else stays as it is there, the versions that trained it too. Throws FileError and FormatError.
 *
 * @param forgotten null: nothing
 */
export async function writeForgotten(
  from: string,
  to: string,
  hashes: ReadonlyMap<string, string>,
  forgotten: readonly ForgottenRecord[] | null,
): Promise<void> {
  const what = 'the record of a run';
  const written = parseFile(from, what, (text) => parseJsonObject(from, text));
  const others = Object.entries(written).filter(([key]) => key !== 'forgotten');
  const hashed = (files: object) => {
    const names = new Set([...Object.keys(files), ...hashes.keys()]);
    const entries = [...names].map((name) => [name, hashes.get(name)] as const);
    return Object.fromEntries(entries.filter(([, hash]) => hash !== undefined));
  };
  const file = Object.fromEntries([
    ...others.map(([key, value]: [string, unknown]) => {
      return [key, key === 'files' && schema.isObject(value) ? hashed(value) : value] as const;
    }),
    ...(forgotten ? [['forgotten', forgotten] as const] : []),
  ]);
  await writeTextAnew(to, `${JSON.stringify(file, finite, 2)}\n`);
}

/** JSON has no other numbers: they would become null without a word. */
function finite(key: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  throw InternalError.of(`${RUN_FILES.record}, ${key}`, 'a finite number', String(value));
}

/** Reads the record of a run. Throws FileError and FormatError. */
export function readRunRecord(path: string): RunRecord {
  const file = runFile(path, RUN_FILES.record);
  const record = parseFile(file, 'the record of a run', (text) => parseRunRecord(file, text));
  checkRecord(path);
  return record;
}

/**
 * Throws FormatError where a file is not the one that the record speaks of; of files from before their hashes were
 * kept, nothing is known.
 *
 * @param name as the record calls it
 */
export function checkFile(path: string, name: string, { files }: RunRecord): void {
  const expected = files?.[name];
  if (expected === undefined) return;
  const got = sha256Of(path);
  if (got === expected) return;
  throw new FormatError({
    where: path,
    expected: `the file with the SHA-256 ${expected}, as ${RUN_FILES.record} says`,
    got: `one with ${got}`,
    todo: 'It was damaged or changed: bring it back, or train anew',
  });
}

/**
 * The checkpoint of a run: the last one, or the best. Throws FormatError when there is none yet.
 */
export function checkpointPath(path: string, best: boolean): string {
  const file = runFile(path, best ? RUN_FILES.best : RUN_FILES.model);
  if (existsSync(file)) return file;
  throw new FormatError({
    where: file,
    expected: 'a saved model',
    got: 'nothing at this path',
    todo: 'Train for at least one epoch',
  });
}
