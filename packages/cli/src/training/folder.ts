/**
 * The folder of a run while it is trained: one process at a time trains into it, and a run that lies
 * there already stays whole until the new one has its first epoch. Files are written as saves, each of which
 * counts as a whole or not at all (run/saves.ts). Beside the run's files:
 *
 *   .thimble-lock   machine and number of the process that trains
 *   .thimble-next   where a run lies there already: the new one until `settle`
 *   .thimble-room   bytes for the record of a run that ends on a full disk (`host/room.ts`)
 *
 * A process that was killed leaves them. The next one that trains into the folder removes them, and one that
 * resumes takes them up. Known limit: a lock of another machine (a shared disk, a container that is gone) counts
 * until it is removed.
 */
import { ConfigError, FileError } from '@thimble/core';
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { isManifest } from '../data/manifest.js';
import { fileError, makeFolder, systemCode } from '../host/files.js';
import { ROOM_FILE } from '../host/room.js';
import { readRunRecord } from '../run/folder.js';
import type { RunRecord } from '../run/record.js';
import {
  commitSave,
  dropWriting,
  finishSaves,
  isRun,
  RUN_FILES,
  runFile,
  startReplacing,
  writingFile,
} from '../run/saves.js';
import { shellWord } from '../terminal/terminal.js';

/** Of names that are none of a run. */
const OWN = '.thimble-';
const LOCK = '.thimble-lock';
const NEXT = '.thimble-next';

export class TrainingFolder {
  /** As the user calls it. */
  readonly path: string;
  private readonly isNew: boolean;
  private readonly isResumed: boolean;
  /** Where the run's files lie: here, or in .thimble-next. */
  private home: string;
  private isTaken = true;

  /** @param isNew made for this run, to be removed where nothing is written */
  private constructor(path: string, isNew: boolean, home: string, isResumed = false) {
    this.path = path;
    this.isNew = isNew;
    this.isResumed = isResumed;
    this.home = home;
  }

  /** Takes a folder that was asked for. Throws ConfigError. @param force takes one that is not empty */
  static take(path: string, force: boolean): TrainingFolder {
    checkFree(path, force);
    return refusing(path, () => {
      makeFolder(dirname(path));
      return TrainingFolder.lock(path, madeAnew(path), force);
    });
  }

  /** Makes the first of `runs/<name>-1`, `runs/<name>-2`, … that is not there. */
  static takeNumbered(dataFolder: string): TrainingFolder {
    for (let number = 1; ; number++) {
      const path = numbered(dataFolder, number);
      const taken = refusing(path, () => {
        makeFolder(dirname(path));
        return madeAnew(path) ? TrainingFolder.lock(path, true, false) : null;
      });
      if (taken) return taken;
    }
  }

  /** Takes the folder of a run whose files are to be replaced together. Throws ConfigError. */
  static retake(path: string): TrainingFolder {
    return refusing(path, () => TrainingFolder.lock(path, false, true, path), path);
  }

  /**
   * Takes the folder of a run that is to go on: the one that was about to replace an earlier run, if there is any.
   * Throws ConfigError.
   */
  static resume(path: string): TrainingFolder {
    const take = () => {
      takeLock(path, path);
      return TrainingFolder.opened(path, () => {
        const next = join(path, NEXT);
        if (existsSync(next)) swept(next);
        return new TrainingFolder(path, false, isRun(next) ? next : path, true);
      });
    };
    return refusing(path, take, path);
  }

  private static lock(
    path: string,
    isNew: boolean,
    force: boolean,
    where = option(path),
  ): TrainingFolder {
    takeLock(path, where);
    return TrainingFolder.opened(path, () => {
      if (!isNew) checkFree(path, force); // again: another process may have been there meanwhile
      const next = join(path, NEXT);
      rmSync(next, { recursive: true, force: true });
      if (!isRun(path)) return new TrainingFolder(path, isNew, path);
      mkdirSync(next);
      return new TrainingFolder(path, isNew, next);
    });
  }

  /** With what a process that was killed has left finished, or removed. Gives the lock back where that fails. */
  private static opened(path: string, make: () => TrainingFolder): TrainingFolder {
    try {
      swept(path);
      return make();
    } catch (error) {
      rmSync(join(path, LOCK), { force: true });
      throw error;
    }
  }

  /** Where a file of the next save is to be written. */
  file(name: string): string {
    return writingFile(this.home, name);
  }

  /** Makes what was written count. Throws FileError. */
  commit(): void {
    try {
      commitSave(this.home);
    } catch (error) {
      throw fileError(this.path, 'a folder in which a run can be saved', error);
    }
  }

  /** Where a file lies that was saved. */
  saved(name: string): string {
    return runFile(this.home, name);
  }

  /** The record that was saved last. Throws FileError and FormatError. */
  record(): RunRecord {
    return readRunRecord(this.home);
  }

  /** Whether an earlier run lies here still, as it was. */
  get keepsEarlier(): boolean {
    return this.home !== this.path;
  }

  /** Removes what of a save was written and will not be saved. */
  dropWriting(): void {
    dropWriting(this.home);
  }

  /** Frees the little room that was kept for the end. */
  giveRoom(): void {
    rmSync(join(this.path, ROOM_FILE), { force: true });
  }

  /** What `settle` frees. */
  get replacedBytes(): number {
    if (!this.keepsEarlier) return 0;
    return Object.values(RUN_FILES).reduce((sum, name) => {
      return sum + (statSync(join(this.path, name), { throwIfNoEntry: false })?.size ?? 0);
    }, 0);
  }

  /**
   * Saves what was written, and puts the new run in the place of an earlier one; for when its first epoch is
   * complete. At no moment do files of two runs count together. Throws FileError; the new run is then finished by
   * whoever writes here next.
   */
  settle(): void {
    this.commit();
    if (!this.keepsEarlier) return;
    try {
      startReplacing(this.path, this.home);
      this.home = this.path;
      finishSaves(this.path);
    } catch (error) {
      throw fileError(this.path, 'a folder in which a run can be replaced', error);
    }
  }

  /** Removes what the new run has written before it was settled, or all of it where nothing was trained. */
  discard(): void {
    dropWriting(this.home);
    for (const name of Object.values(RUN_FILES)) rmSync(join(this.home, name), { force: true });
  }

  /** Lets others have the folder. What was not settled goes, and a folder in which nothing is left. */
  close(): void {
    if (!this.isTaken) return;
    this.isTaken = false;
    try {
      if (this.keepsEarlier && !this.isResumed) rmSync(this.home, { recursive: true, force: true });
      else dropWriting(this.home);
      this.giveRoom();
      rmSync(join(this.path, LOCK), { force: true });
      if (this.isNew && readdirSync(this.path).length === 0) rmdirSync(this.path);
    } catch {
      // The folder went away, or nothing may be changed there: how the run ended says more.
    }
  }
}

/** Finishes what counts and removes what does not, of a process that was killed; nobody else writes here now. */
function swept(path: string): void {
  finishSaves(path);
  dropWriting(path);
  for (const name of readdirSync(path)) if (isHalf(name)) rmSync(join(path, name));
}

/** Where a run lies that is to replace the one in `path`. */
export function nextRun(path: string): string {
  return join(path, NEXT);
}

/** A file of a run that was being written. */
function isHalf(name: string): boolean {
  return Object.values(RUN_FILES).some(
    (file) => name.startsWith(`${file}.`) && name.endsWith('.tmp'),
  );
}

/** The one that `takeNumbered` would make now, for a look at it beforehand. */
export function nextNumbered(dataFolder: string): string {
  for (let number = 1; ; number++) {
    const path = numbered(dataFolder, number);
    if (!existsSync(path)) return path;
  }
}

/** `runs/<name of the data's folder>-<number>`. */
function numbered(dataFolder: string, number: number): string {
  const full = resolve(dataFolder);
  const own = isManifest(full) ? basename(full, extname(full)) : basename(full);
  const name = (own === 'train' ? basename(dirname(full)) : own) || 'run';
  return join('runs', `${name}-${String(number)}`);
}

/**
 * Throws ConfigError where a run cannot be written to `path`, as far as can be told without writing,
 * or where the folder holds something and `force` is off.
 */
export function checkFree(path: string, force: boolean): void {
  refusing(path, () => {
    if (path === '') throw refused(path, 'an empty name');
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) {
      checkAbove(path);
      return;
    }
    if (!found.isDirectory()) throw refused(path, 'a file');
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    const entries = readdirSync(path).filter((name) => !name.startsWith(OWN));
    const hasRun = isRun(path);
    if (force || (entries.length === 0 && !hasRun)) return;
    throw new ConfigError({
      where: `--out ${path}`,
      expected: 'a new or empty folder',
      got: hasRun ? 'an earlier run' : `${String(entries.length)} files`,
      todo: 'Choose another path, or --force to replace it',
    });
  });
}

/** Whether `path` can be made: the nearest folder above it that is there takes new ones. */
function checkAbove(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })) throw refused(path, 'a link that leads nowhere');
  let above = dirname(resolve(path));
  while (!existsSync(above) && above !== dirname(above)) above = dirname(above);
  accessSync(above, constants.W_OK | constants.X_OK);
}

/** False where something lies there already. */
function madeAnew(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Throws ConfigError where another process has the folder. */
function takeLock(folder: string, where: string): void {
  const path = join(folder, LOCK);
  while (!wroteAnew(path, `${hostname()} ${String(process.pid)}`)) {
    const holder = readQuietly(path);
    if (holder === null) continue; // gone meanwhile
    if (!hasEnded(holder)) throw inUse(folder, holder, where);
    breakLock(path, holder);
  }
}

/** Removes the lock of a process that has ended; one that was taken meanwhile comes back. */
function breakLock(path: string, holder: string): void {
  const aside = `${path}.${String(process.pid)}`;
  renameSync(path, aside);
  if (readQuietly(aside) === holder) rmSync(aside);
  else renameSync(aside, path);
}

/** False where something lies there already. */
function wroteAnew(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** null where nothing lies there. */
function readQuietly(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Of this machine, and no longer there; our own number is of a process before us. */
function hasEnded(holder: string): boolean {
  const [machine, pid] = holder.split(' ');
  if (machine !== hostname() || !/^\d+$/.test(pid ?? '')) return false;
  if (Number(pid) === process.pid) return true;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return systemCode(error) === 'ESRCH';
  }
}

function inUse(folder: string, holder: string, where: string): ConfigError {
  const [machine = '', pid = '?'] = holder.split(' ');
  return new ConfigError({
    where,
    expected: 'a folder into which no other process trains',
    got: `process ${pid} of ${machine}`,
    todo:
      'Choose another path, or wait for it; where it no longer runs, remove ' +
      shellWord(join(folder, LOCK)),
  });
}

function refused(path: string, got: string): ConfigError {
  const expected = 'a folder that can be written to';
  return new ConfigError({ where: `--out ${path}`, expected, got, todo: 'Choose another path' });
}

/** What errors call a folder that was asked for. */
function option(path: string): string {
  return `--out ${path}`;
}

/** What the system says of `path`, as an error of `where`. */
function refusing<T>(path: string, work: () => T, where = option(path)): T {
  try {
    return work();
  } catch (error) {
    const known = fileError(path, 'a folder that can be written to', error);
    if (!(known instanceof FileError)) throw known;
    throw new ConfigError({ ...known.parts, where });
  }
}
