/**
 * Files of a run that take their place together. A save is a folder of files:
 *
 *   .thimble-writing     being written: nothing in it counts, nor need it be on the disk
 *   .thimble-saved       whole: what lies in it counts before what lies beside it
 *   .thimble-replacing   a whole run: what lies in it counts, and nothing beside it does
 *
 * A save counts from the moment at which its folder has one of the last two names; by then it is on the disk. Its
 * files are moved out after that, and whoever opens the folder to write finishes what a process that was killed
 * has left. Those who only read find each file where it counts (`runFile`).
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileError, syncAll, syncFolder } from '../host/files.js';

export const RUN_FILES = {
  record: 'run.json',
  model: 'model.safetensors',
  best: 'best.safetensors',
  state: 'state.safetensors',
  data: 'data.json',
  log: 'log.jsonl',
  labels: 'labels.txt',
  ranks: 'ranks.json',
  forgotten: 'forgotten.safetensors',
  setAside: 'set-aside.safetensors',
  sums: 'SHA256SUMS',
} as const;

const WRITING = '.thimble-writing';
const SAVED = '.thimble-saved';
const REPLACING = '.thimble-replacing';

/** Of a run: whole copies of it as it stood, each a run by itself. */
export const CHECKPOINTS = 'checkpoints';

/** A file of the copy `name`, as its run calls it. */
export function keptFile(name: string, file: string): string {
  return join(CHECKPOINTS, name, file);
}

/** Where the file `name` of the run in `folder` lies; where it would, if there is none. */
export function runFile(folder: string, name: string): string {
  const whole = join(folder, REPLACING);
  if (existsSync(join(whole, RUN_FILES.record))) return join(whole, name);
  const saved = join(folder, SAVED, name);
  return existsSync(saved) ? saved : join(folder, name);
}

/** Whether a run lies in `folder`. */
export function isRun(folder: string): boolean {
  return existsSync(runFile(folder, RUN_FILES.record));
}

/** Where the file `name` of the next save is to be written. Throws FileError where the folder is gone. */
export function writingFile(folder: string, name: string): string {
  const writing = join(folder, WRITING);
  try {
    if (!existsSync(writing)) mkdirSync(writing);
  } catch (error) {
    throw fileError(folder, 'a folder that can be written to', error);
  }
  return join(writing, name);
}

/** Makes what was written count, where anything was. Throws what the system says. */
export function commitSave(folder: string): void {
  const writing = join(folder, WRITING);
  if (!existsSync(writing)) return;
  finishSaves(folder);
  syncAll(writing);
  renameSync(writing, join(folder, SAVED));
  syncFolder(folder);
  finishSaves(folder);
}

/**
 * Makes the run in the folder `from`, inside `folder`, count instead of the one in `folder`; `finishSaves` puts it in
 * its place. Throws likewise.
 */
export function startReplacing(folder: string, from: string): void {
  renameSync(from, join(folder, REPLACING));
  syncFolder(folder);
}

/** Moves what counts to its place; for whoever may write. Throws what the system says, and may be called again. */
export function finishSaves(folder: string): void {
  finishReplacing(folder);
  const saved = join(folder, SAVED);
  if (!existsSync(saved)) return;
  finishCopies(join(saved, CHECKPOINTS), join(folder, CHECKPOINTS));
  for (const name of inOrder(readdirSync(saved))) renameSync(join(saved, name), join(folder, name));
  syncFolder(folder);
  rmSync(saved, { recursive: true, force: true });
}

/** Copies take the places of those with their names; then nothing is left of the folder `from`. */
function finishCopies(from: string, to: string): void {
  if (!existsSync(from)) return;
  if (!existsSync(to)) mkdirSync(to);
  for (const name of readdirSync(from)) {
    rmSync(join(to, name), { recursive: true, force: true });
    renameSync(join(from, name), join(to, name));
  }
  syncFolder(to);
  rmSync(from, { recursive: true });
}

/** Removes what was never whole. */
export function dropWriting(folder: string): void {
  rmSync(join(folder, WRITING), { recursive: true, force: true });
}

/** First goes what the new run does not have; then its files are those of a save. */
function finishReplacing(folder: string): void {
  const whole = join(folder, REPLACING);
  if (!existsSync(whole)) return;
  const own = new Set(readdirSync(whole));
  for (const name of Object.values(RUN_FILES)) {
    if (!own.has(name)) rmSync(join(folder, name), { force: true });
  }
  rmSync(join(folder, CHECKPOINTS), { recursive: true, force: true });
  syncFolder(folder);
  renameSync(whole, join(folder, SAVED));
  syncFolder(folder);
}

/** The record last: to somebody who reads meanwhile, it says what is there. */
function inOrder(names: readonly string[]): readonly string[] {
  const last: readonly string[] = [RUN_FILES.sums, RUN_FILES.record];
  const others = names.filter((name) => !last.includes(name));
  return [...others, ...last.filter((name) => names.includes(name))];
}
