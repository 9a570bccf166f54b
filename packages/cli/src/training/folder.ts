/**
 * The folder of a run while it is trained: one process at a time trains into it, and a run that lies
 * there already stays whole until the new one has its first checkpoint. Beside the run's files:
 *
 *   .thimble-lock   machine and number of the process that trains
 *   .thimble-next   where a run lies there already: the files of the new one until `settle`
 *   .thimble-room   bytes for the record of a run that ends on a full disk (`host/room.ts`)
 *
 * A process that was killed leaves them; the next one that trains into the folder removes them. Known
 * limit: a lock of another machine (a shared disk, a container that is gone) counts until it is removed.
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
import { basename, dirname, join, resolve } from 'node:path';
import { fileError, makeFolder, systemCode } from '../host/files.js';
import { ROOM_FILE } from '../host/room.js';
import { RUN_FILES } from '../run/folder.js';
import { shellWord } from '../terminal/terminal.js';

/** Of names that are none of a run. */
const OWN = '.thimble-';
const LOCK = '.thimble-lock';
const NEXT = '.thimble-next';

export class TrainingFolder {
  /** As the user calls it. */
  readonly path: string;
  private readonly isNew: boolean;
  private where: string;
  private isTaken = true;
  private isSettling = false;

  /** @param isNew made for this run, to be removed where nothing is written */
  private constructor(path: string, isNew: boolean, where: string) {
    this.path = path;
    this.isNew = isNew;
    this.where = where;
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

  private static lock(
    path: string,
    isNew: boolean,
    force: boolean,
    where = option(path),
  ): TrainingFolder {
    takeLock(path, where);
    try {
      if (!isNew) checkFree(path, force); // again: another process may have been there meanwhile
      rmSync(join(path, NEXT), { recursive: true, force: true });
      for (const name of readdirSync(path)) if (isHalf(name)) rmSync(join(path, name));
      const isRun = Object.values(RUN_FILES).some((file) => existsSync(join(path, file)));
      const files = isRun ? join(path, NEXT) : path;
      if (isRun) mkdirSync(files);
      return new TrainingFolder(path, isNew, files);
    } catch (error) {
      rmSync(join(path, LOCK), { force: true });
      throw error;
    }
  }

  /** Where a file of the run is to be written now. */
  file(name: string): string {
    return join(this.where, name);
  }

  /** Whether an earlier run lies here still, as it was. */
  get keepsEarlier(): boolean {
    return this.where !== this.path && !this.isSettling;
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
   * Puts the new run in the place of an earlier one; for when its first checkpoint is complete. Its
   * record comes last, and the earlier one's goes first: at no moment do a record and weights of two
   * runs lie together. Throws FileError; what was not moved then stays in .thimble-next.
   */
  settle(): void {
    if (!this.keepsEarlier) return;
    const { record, ...others } = RUN_FILES;
    this.isSettling = true;
    try {
      rmSync(join(this.path, record), { force: true });
      for (const name of [...Object.values(others), record]) {
        if (existsSync(this.file(name))) renameSync(this.file(name), join(this.path, name));
        else rmSync(join(this.path, name), { force: true });
      }
      rmdirSync(this.where);
    } catch (error) {
      throw fileError(this.path, 'a folder in which a run can be replaced', error);
    }
    this.where = this.path;
  }

  /** Removes what the new run has written before it was settled, or all of it where it has no weights. */
  discard(): void {
    for (const name of Object.values(RUN_FILES)) rmSync(this.file(name), { force: true });
  }

  /** Lets others have the folder. What was not settled goes, and a folder in which nothing is left. */
  close(): void {
    if (!this.isTaken) return;
    this.isTaken = false;
    try {
      if (this.keepsEarlier) rmSync(this.where, { recursive: true, force: true });
      this.giveRoom();
      rmSync(join(this.path, LOCK), { force: true });
      if (this.isNew && readdirSync(this.path).length === 0) rmdirSync(this.path);
    } catch {
      // The folder went away, or nothing may be changed there: how the run ended says more.
    }
  }
}

/** A file of a run that was being written when its process was killed; nobody else writes here now. */
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
  const own = basename(full);
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
    if (force || entries.length === 0) return;
    const isRun = entries.includes(RUN_FILES.record);
    throw new ConfigError({
      where: `--out ${path}`,
      expected: 'a new or empty folder',
      got: isRun ? 'an earlier run' : `${String(entries.length)} files`,
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
