/**
 * The run folder: what training leaves behind, and what `eval` and `predict` read.
 *
 *   run.json            configuration, classes, preprocessing, versions, a record of each epoch
 *   model.safetensors   weights after the last good epoch
 *   best.safetensors    weights of the epoch with the highest validation accuracy
 *   ranks.json          of a factored run: its ranks and what they were chosen from
 *   labels.txt          names of the classes, one per line, in the order of the model's outputs
 *
 * Every file is replaced as a whole. A folder that holds a run is never overwritten unless asked
 * for.
 */
import { ConfigError, FormatError } from '@thimble/core';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { replaceWithText } from './files.js';
import { parseRunRecord, RUN_FORMAT, RUN_VERSION, type RunRecord } from './run-record.js';
import { VERSION } from './version.js';
import { parseFile } from './weights/json-file.js';

export const RUN_FILES = {
  record: 'run.json',
  model: 'model.safetensors',
  best: 'best.safetensors',
  labels: 'labels.txt',
  ranks: 'ranks.json',
} as const;

/**
 * The first of `runs/<name>-1`, `runs/<name>-2`, … that does not exist; name from the data's
 * folder.
 */
export function defaultRunFolder(dataFolder: string): string {
  const full = resolve(dataFolder);
  const own = basename(full);
  const name = (own === 'train' ? basename(dirname(full)) : own) || 'run';
  for (let number = 1; ; number++) {
    const path = join('runs', `${name}-${String(number)}`);
    if (!existsSync(path)) return path;
  }
}

/** Throws ConfigError when `path` holds something already and `force` is off. */
export function checkFree(path: string, force: boolean): void {
  if (force || !existsSync(path)) return;
  const entries = directoryEntries(path);
  if (entries?.length === 0) return;
  throw new ConfigError({
    where: `--out ${path}`,
    expected: 'a new or empty folder',
    got: entries === null ? 'a file' : existing(entries),
    todo:
      entries === null ? 'Choose another path' : 'Choose another path, or --force to replace it',
  });
}

/** Makes the folder, drops what an earlier run left there, and proves that it can be written to. */
export async function createRunFolder(path: string, record: RunRecord): Promise<void> {
  try {
    mkdirSync(path, { recursive: true });
    for (const file of Object.values(RUN_FILES)) rmSync(join(path, file), { force: true });
    await replaceWithText(join(path, RUN_FILES.labels), `${record.classes.join('\n')}\n`);
    await writeRunRecord(path, record);
  } catch (error) {
    throw new ConfigError({
      where: `--out ${path}`,
      expected: 'a folder that can be written to',
      got: error instanceof Error ? error.message : String(error),
      todo: 'Choose another path, or change its permissions',
    });
  }
}

export async function writeRunRecord(path: string, record: RunRecord): Promise<void> {
  const file = {
    format: RUN_FORMAT,
    version: RUN_VERSION,
    thimble: VERSION,
    node: process.version,
  };
  await replaceWithText(
    join(path, RUN_FILES.record),
    `${JSON.stringify({ ...file, ...record }, null, 2)}\n`,
  );
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

/** Names in the folder; null when it is a file. */
function directoryEntries(path: string): readonly string[] | null {
  try {
    return readdirSync(path);
  } catch {
    return null;
  }
}

function existing(entries: readonly string[]): string {
  return entries.includes(RUN_FILES.record) ? 'an earlier run' : `${String(entries.length)} files`;
}
