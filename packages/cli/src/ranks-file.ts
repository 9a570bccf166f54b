/**
 * ranks.json of a run folder: the ranks of a factored run and the tables that they were chosen
 * from. For people and scripts; eval, predict and merge read the ranks of run.json.
 */
import { FormatError, type PrepareTables, type Ranks } from '@thimble/core';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceWithText } from './files.js';
import { RUN_FILES } from './run-folder.js';

export interface RanksFile {
  readonly method: string;
  /** Images of one pass, to which Tucker ranks belong. */
  readonly pass: number;
  readonly ranks: Ranks;
  /** null where the ranks are typical ones, or those of the run that this one started from. */
  readonly tables: PrepareTables | null;
}

const FORMAT = 'thimble-ranks';
const VERSION = 1;

/** Replaces the ranks in the file `path`. */
export async function writeRanks(path: string, file: RanksFile): Promise<void> {
  const text = JSON.stringify({ format: FORMAT, version: VERSION, ...file }, null, 1);
  await replaceWithText(path, `${text}\n`);
}

/** Throws FormatError when the run has none, or a damaged one. */
export function readRanks(run: string): RanksFile {
  const path = join(run, RUN_FILES.ranks);
  if (!existsSync(path)) {
    const todo = 'Pass the folder of a run with a factored method, such as wasi';
    throw new FormatError({ where: path, expected: 'the ranks of a run', got: 'no file', todo });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw damaged(path, error instanceof Error ? error.message : 'unreadable');
  }
  if (isRanksFile(parsed)) return parsed;
  throw damaged(path, 'other JSON');
}

function isRanksFile(value: unknown): value is RanksFile {
  if (typeof value !== 'object' || value === null) return false;
  const file: Partial<Record<keyof RanksFile | 'format' | 'version', unknown>> = value;
  return file.format === FORMAT && file.version === VERSION && typeof file.method === 'string';
}

function damaged(path: string, got: string): FormatError {
  return new FormatError({
    where: path,
    expected: `a ${FORMAT} file of version ${String(VERSION)}`,
    got,
    todo: 'Use the file as thimble train wrote it',
  });
}
