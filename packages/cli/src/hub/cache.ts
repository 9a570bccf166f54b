/**
 * The cache of downloaded models, in the layout of huggingface_hub, so that what either has loaded
 * serves both:
 *
 *   models--owner--name/refs/main                    the commit that a revision meant
 *   models--owner--name/blobs/<checksum>             contents, once each
 *   models--owner--name/snapshots/<commit>/<file>    links to them
 *   models--owner--name/.no_exist/<commit>/<file>    empty: known not to exist
 *
 * Beside these, `blobs/<checksum>.thimble.incomplete` is what a broken download left, and
 * `.locks/models--owner--name/<checksum>.thimble.lock` belongs to the process that writes it.
 */
import { randomUUID } from 'node:crypto';
import {
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  lutimesSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder, readText, replaceWithText } from '../host/files.js';
import { isCommit, type HubReference } from './reference.js';

/** How locks are kept and given up, in milliseconds. */
export interface LockTimes {
  /** A lock whose holder has not said that it lives for as long is no lock. */
  readonly dead: number;
  readonly heartbeat: number;
  readonly poll: number;
}

const LOCK_TIMES: LockTimes = { dead: 60_000, heartbeat: 5_000, poll: 300 };

export class HubCache {
  /** Of one model. */
  readonly folder: string;
  private readonly locks: string;
  private readonly times: LockTimes;

  constructor(cache: string, name: string, times = LOCK_TIMES) {
    const own = `models--${name.replace('/', '--')}`;
    this.times = times;
    this.folder = join(cache, own);
    this.locks = join(cache, '.locks', own);
  }

  /** The commit that a revision meant when it was last asked for; null when it never was. */
  commitOf({ revision }: HubReference): string | null {
    if (isCommit(revision)) return revision;
    const commit = textOf(join(this.folder, 'refs', revision))?.trim() ?? '';
    return isCommit(commit) ? commit : null;
  }

  async keepCommit({ revision }: HubReference, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.folder, 'refs', revision);
    makeFolder(dirname(path));
    await replaceWithText(path, commit);
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  /** Path of a file of a commit where it is complete; null otherwise. */
  file(commit: string, file: string): string | null {
    const path = join(this.snapshot(commit), file);
    return existsSync(path) ? path : null; // existsSync follows the link
  }

  /** Notes that a commit has no such file. */
  keepMissing(commit: string, file: string): void {
    const path = join(this.folder, '.no_exist', commit, file);
    if (existsSync(path)) return;
    makeFolder(dirname(path));
    make(path, '');
  }

  isKnownMissing(commit: string, file: string): boolean {
    return existsSync(join(this.folder, '.no_exist', commit, file));
  }

  blob(checksum: string): string {
    return join(this.folder, 'blobs', checksum);
  }

  /** What of a blob is there, if it is not whole. */
  incomplete(checksum: string): string {
    return `${this.blob(checksum)}.thimble.incomplete`;
  }

  /** Gives a blob its name in a commit: a link, or a copy where links cannot be made. */
  link(commit: string, file: string, checksum: string): void {
    const path = join(this.snapshot(commit), file);
    if (existsSync(path)) return;
    makeFolder(dirname(path));
    const blob = this.blob(checksum);
    replace(path, (temporary) => {
      try {
        symlinkSync(relative(dirname(path), blob), temporary);
      } catch {
        copyFileSync(blob, temporary, constants.COPYFILE_EXCL);
      }
    });
  }

  /**
   * Runs `work` while no other process does for the same blob. A lock is a courtesy, which saves a second download;
   * what is right is decided by checksums.
   *
   * @param onWait said once, with the holder
   */
  async locked<T>(
    checksum: string,
    onWait: (holder: string) => void,
    work: () => Promise<T>,
  ): Promise<T> {
    const path = join(this.locks, `${checksum}.thimble.lock`);
    makeFolder(dirname(path));
    const lock = await taken(path, this.times, onWait);
    const heartbeat = setInterval(() => {
      lock.beat();
    }, this.times.heartbeat);
    try {
      return await work();
    } finally {
      clearInterval(heartbeat);
      lock.release();
    }
  }
}

/** A lock that this process holds. */
class Lock {
  private readonly path: string;
  private readonly owner: string;

  constructor(path: string, owner: string) {
    this.path = path;
    this.owner = owner;
  }

  /** Says that the holder lives; what becomes of the lock's folder meanwhile is no reason to stop. */
  beat(): void {
    if (!this.isOwn()) return;
    try {
      const now = new Date();
      lutimesSync(this.path, now, now);
    } catch {
      // The lock is gone.
    }
  }

  release(): void {
    if (this.isOwn()) rmSync(this.path, { force: true });
  }

  /** Whether nobody has taken it for dead. */
  private isOwn(): boolean {
    return textOf(this.path) === this.owner;
  }
}

/**
 * Takes a lock once it is free, its holder is gone, or was silent for longer than one that lives is. The clock of
 * this process tells how long: that of another host may be wrong. What looks old by its date is watched for less.
 */
async function taken(
  path: string,
  { dead, heartbeat, poll }: LockTimes,
  onWait: (holder: string) => void,
): Promise<Lock> {
  const owner = `${hostname()} ${String(process.pid)} ${randomUUID()}`;
  let lastBeat = NaN;
  let since = 0;
  while (!make(path, owner)) {
    const holder = textOf(path) ?? '';
    const beat = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (Number.isNaN(lastBeat)) onWait(holder);
    if (beat !== lastBeat) [lastBeat, since] = [beat, performance.now()];
    const patience = Date.now() - beat > dead ? 3 * heartbeat : dead;
    const isSilent = performance.now() - since > patience;
    if (isSilent || isGone(holder)) rmSync(path, { force: true });
    else await sleep(poll);
  }
  return new Lock(path, owner);
}

/** Whether a holder on this host has ended. */
function isGone(holder: string): boolean {
  const [host, pid] = holder.split(' ');
  if (host !== hostname() || !/^\d+$/.test(pid ?? '')) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return isCode(error, 'ESRCH');
  }
}

/** A new file; false where something of the name is there already, be it a link. */
function make(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** @param write makes a file that is not there */
function replace(path: string, write: (temporary: string) => void): void {
  const temporary = `${path}.${String(process.pid)}.tmp`;
  rmSync(temporary, { force: true });
  write(temporary);
  renameSync(temporary, path);
}

/** Of a ref or a lock; null where there is no such file. */
function textOf(path: string): string | null {
  try {
    return readText(path, 'a name', MAX_TEXT_BYTES);
  } catch {
    return null;
  }
}

const MAX_TEXT_BYTES = 1000;

export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
