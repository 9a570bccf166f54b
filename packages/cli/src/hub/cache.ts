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
import {
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder } from '../files.js';
import { isCommit, type HubReference } from './reference.js';

/** A lock whose holder has not said that it lives for as long is no lock. */
const DEAD_MS = 60_000;
const HEARTBEAT_MS = 5_000;
const POLL_MS = 300;

export class HubCache {
  /** Of one model. */
  readonly folder: string;
  private readonly locks: string;

  constructor(cache: string, name: string) {
    const own = `models--${name.replace('/', '--')}`;
    this.folder = join(cache, own);
    this.locks = join(cache, '.locks', own);
  }

  /** The commit that a revision meant when it was last asked for; null when it never was. */
  commitOf({ revision }: HubReference): string | null {
    if (isCommit(revision)) return revision;
    const commit = textOf(join(this.folder, 'refs', revision))?.trim() ?? '';
    return isCommit(commit) ? commit : null;
  }

  keepCommit({ revision }: HubReference, commit: string): void {
    if (revision === commit) return;
    const path = join(this.folder, 'refs', revision);
    makeFolder(dirname(path));
    replace(path, (temporary) => {
      writeFileSync(temporary, commit);
    });
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
    writeFileSync(path, '');
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
        copyFileSync(blob, temporary);
      }
    });
  }

  /** Runs `work` while no other process does for the same blob. @param onWait said once */
  async locked<T>(checksum: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
    const path = join(this.locks, `${checksum}.thimble.lock`);
    makeFolder(dirname(path));
    for (let waits = 0; !taken(path); waits++) {
      if (waits === 0) onWait();
      await sleep(POLL_MS);
    }
    const heartbeat = setInterval(() => {
      writeFileSync(path, owner());
    }, HEARTBEAT_MS);
    try {
      return await work();
    } finally {
      clearInterval(heartbeat);
      rmSync(path, { force: true });
    }
  }
}

/** Takes the lock if it is free or its holder is gone. */
function taken(path: string): boolean {
  try {
    writeFileSync(path, owner(), { flag: 'wx' });
    return true;
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  }
  const isDead = holderIsGone(path);
  if (isDead) rmSync(path, { force: true });
  return false;
}

function holderIsGone(path: string): boolean {
  const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  if (age > DEAD_MS) return true;
  const [host, pid] = (textOf(path) ?? '').split(' ');
  if (host !== hostname() || !/^\d+$/.test(pid ?? '')) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return isCode(error, 'ESRCH');
  }
}

function owner(): string {
  return `${hostname()} ${String(process.pid)}`;
}

function replace(path: string, write: (temporary: string) => void): void {
  const temporary = `${path}.${String(process.pid)}.tmp`;
  rmSync(temporary, { force: true });
  write(temporary);
  renameSync(temporary, path);
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
