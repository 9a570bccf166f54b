/**
 * Reading and writing files. What is written is written beside its place and renamed, so that a crash or a full
 * disk never leaves half of a file under its final name; a file beside it is made anew, so that nothing that lies
 * there already (a link to somewhere else) is written through. A file is on the disk before it gets its name; whoever
 * needs the name there too syncs the folder. What the system says is a FileError.
 */
import { FileError, megabytes, ThimbleError } from '@thimble/core';
import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** How a file is written that `write` fills. */
export type FileWriter = (
  path: string,
  write: (descriptor: number) => void | Promise<void>,
) => Promise<void>;

/** Calls `write` with an open temporary file beside `path`, then renames it to `path`. */
export const replaceFile: FileWriter = async (path, write) => {
  await beside(path, async (temporary) => {
    const descriptor = openSync(temporary, 'wx');
    try {
      await write(descriptor);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  });
};

/**
 * Makes a file in a folder that counts only as a whole: whoever makes that count puts its files on the disk
 * (`syncAll`). What lies there already goes first, so that no other name of it changes.
 */
export const writeAnew: FileWriter = async (path, write) => {
  try {
    rmSync(path, { force: true });
    const descriptor = openSync(path, 'wx');
    try {
      await write(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    removeQuietly(path);
    throw fileError(path, 'a file that can be written', error);
  }
};

export async function writeTextAnew(path: string, text: string): Promise<void> {
  await writeAnew(path, (descriptor) => {
    writeAll(descriptor, Buffer.from(text));
  });
}

/** Puts all files in a folder and below on the disk, and their names. Throws what the system says. */
export function syncAll(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) syncAll(path);
    else syncPath(path, 'r+');
  }
  syncFolder(folder);
}

export async function replaceWithText(path: string, text: string): Promise<void> {
  await replaceFile(path, (descriptor) => writeAll(descriptor, Buffer.from(text)));
}

/** A copy of `from` under `to`, complete or not there; it takes no room where the file system can share blocks. */
export async function replaceWithCopy(from: string, to: string): Promise<void> {
  await beside(to, (temporary) => {
    copyFileSync(from, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    syncPath(temporary, 'r+');
  });
}

/**
 * The file `from` under a second name, for one that soon loses its first: what writes into one of them changes both.
 * A copy where the file system has no such names.
 */
export async function replaceWithLink(from: string, to: string): Promise<void> {
  try {
    await beside(to, (temporary) => {
      linkSync(from, temporary);
    });
  } catch {
    await replaceWithCopy(from, to);
  }
}

/** Makes the names in a folder survive a power cut, where the system can. Throws what it says else. */
export function syncFolder(path: string): void {
  try {
    syncPath(path, 'r');
  } catch (error) {
    // Windows opens no folders, and some network disks do not sync them: their names are safe, or nobody can help.
    if (!['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP'].includes(systemCode(error) ?? ''))
      throw error;
  }
}

function syncPath(path: string, flags: string): void {
  const descriptor = openSync(path, flags);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Writes all bytes at the file's position; `writeSync` alone may write fewer. */
export function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(descriptor, bytes, done, bytes.length - done);
  }
}

/**
 * Makes a folder, and those above it, where they are missing. Throws what the system says.
 *
 * Node's own `mkdir` with `recursive` never returns where the system takes no folders (/proc).
 */
export function makeFolder(path: string): void {
  const missing: string[] = [];
  for (let at = resolve(path); !isFolder(at) && missing.at(-1) !== at; at = dirname(at)) {
    missing.push(at);
  }
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder);
    } catch (error) {
      if (!isFolder(folder)) throw error; // else another process was faster
    }
  }
}

/** Bytes of a text that a command reads; more is no configuration and no record. */
const MAX_TEXT_BYTES = 64_000_000;

/** The text of a file. Throws FileError. @param what it is to be, as in `the record of a run` */
export function readText(path: string, what: string, mostBytes?: number): string {
  return readBytes(path, what, mostBytes).toString('utf8');
}

/** The bytes of a file that is no larger than `mostBytes`. Throws FileError. @param what it is to be */
export function readBytes(path: string, what: string, mostBytes = MAX_TEXT_BYTES): Buffer {
  const descriptor = openToRead(path, what);
  try {
    const { size } = fstatSync(descriptor);
    if (size > mostBytes) {
      throw new FileError({
        where: path,
        expected: `${what} of at most ${megabytes(mostBytes)}`,
        got: megabytes(size),
        todo: 'Check the path, or get the file again',
      });
    }
    return readFileSync(descriptor);
  } catch (error) {
    throw fileError(path, what, error);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Opens a regular file; a pipe without a writer is refused, not waited for. Throws FileError.
 *
 * @param what it is to be
 */
export function openToRead(path: string, what: string): number {
  let descriptor: number;
  try {
    // O_NONBLOCK (none on Windows) opens a pipe at once; for files it means nothing.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw fileError(path, what, error);
  }
  const stats = fstatSync(descriptor);
  if (stats.isFile()) return descriptor;
  closeSync(descriptor);
  throw new FileError({
    where: path,
    expected: what,
    got: stats.isDirectory() ? 'a folder' : 'a pipe, socket or device',
    todo: 'Give a file',
  });
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** A temporary file beside `path`, made by `make`, then under its name. Throws FileError. */
async function beside(
  path: string,
  make: (temporary: string) => void | Promise<void>,
): Promise<void> {
  const temporary = `${path}.${String(process.pid)}.tmp`;
  try {
    rmSync(temporary, { force: true }); // of a process that ended, or somebody's link
    await make(temporary);
    renameSync(temporary, path);
  } catch (error) {
    removeQuietly(temporary);
    throw fileError(path, 'a file that can be written', error);
  }
}

/** Removes a file; the reason why there is one to remove says more than that it cannot be. */
export function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Nothing lies there, or nothing may be changed there.
  }
}

/** What the system's codes mean, and what helps. */
const REASONS: Readonly<Record<string, readonly [got: string, todo: string]>> = {
  ENOENT: ['nothing at this path', 'Check the path'],
  ENOTDIR: ['a file where a folder should be', 'Check the path'],
  EISDIR: ['a folder', 'Give a file'],
  EEXIST: ['something that is there already', 'Choose another path'],
  ENOTEMPTY: ['a folder that holds something', 'Choose another path'],
  EACCES: ['no permission', 'Change its permissions, or choose another path'],
  EPERM: ['no permission', 'Change its permissions, or choose another path'],
  EROFS: ['a file system that is read-only', 'Choose another path'],
  ENOSPC: ['a full disk', 'Free some room, or choose another disk'],
  EDQUOT: ['a quota that is used up', 'Free some room, or choose another disk'],
  EFBIG: [
    'a file larger than the system allows',
    'Raise the limit (ulimit -f), or choose another disk',
  ],
  ELOOP: ['links that lead in a circle', 'Check the path'],
  ENAMETOOLONG: ['a name that is too long', 'Choose a shorter path'],
  EMFILE: ['too many open files', 'Raise the limit (ulimit -n), or use fewer --workers'],
  ENFILE: ['too many open files', 'Close other programs'],
  EIO: ['a fault of the disk', 'Check the disk, or choose another'],
  ENODEV: ['a device that is not there', 'Choose another path'],
  ENXIO: ['a device that is not there', 'Choose another path'],
  EBUSY: ['a file that another program holds', 'Close the other program'],
  EINVAL: ['a name that this file system does not take', 'Choose another path'],
};

/**
 * The error to throw for `error`: itself where it is Thimble's or none of the system's, else a FileError.
 *
 * @param wanted what was to be at `path`
 */
export function fileError(path: string, wanted: string, error: unknown): unknown {
  const code = systemCode(error);
  if (error instanceof ThimbleError || code === null) return error;
  const [got, todo] = REASONS[code] ?? [code, 'Check the path and the disk'];
  return new FileError({ where: path, expected: wanted, got, todo });
}

/** `ENOENT` and the like, also where Node says it itself (`ERR_FS_EISDIR`); null for other errors. */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) return null;
  return /^(?:ERR_FS_)?(E[A-Z0-9]+)$/.exec(error.code)?.[1] ?? null;
}
