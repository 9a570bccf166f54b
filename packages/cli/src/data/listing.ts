/**
 * A folder as it is on the disk, read once and whole: what is decided about it afterwards (`layout.ts`,
 * `class-folders.ts`) needs the disk no more.
 *
 * Names are read as bytes, so that one that is not UTF-8 is seen. Links are followed; a link to a folder around
 * it ends there, and a folder that is reached twice is read once and is the same list both times. What the system
 * keeps for itself (`names.ts`) is listed but not entered.
 */
import { DataError } from '@thimble/core';
import { isUtf8 } from 'node:buffer';
import { lstatSync, readdirSync, realpathSync, statSync, type Stats } from 'node:fs';
import { join, sep } from 'node:path';
import { fileError, systemCode } from '../host/files.js';
import { isSystemName } from './names.js';

export type Entry = FileEntry | FolderEntry | OddEntry;

export interface FileEntry {
  readonly kind: 'file';
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  /** Where a link leads; null for a file that lies in its folder. */
  readonly target: string | null;
}

export interface FolderEntry {
  readonly kind: 'folder';
  readonly name: string;
  readonly path: string;
  /** Without links. */
  readonly real: string;
  /** Sorted by name. */
  readonly entries: readonly Entry[];
}

/** Something that is neither. */
export interface OddEntry {
  readonly kind: 'odd';
  /** With escapes where it is not UTF-8. */
  readonly name: string;
  readonly path: string;
  readonly why: Oddity;
  readonly isFolder: boolean;
}

/**
 * `system`: hidden, or of the system; `special`: a pipe, socket or device; `dangling`: a link to nothing; `circle`:
 * a link to a folder around it; `name`: not UTF-8.
 */
export type Oddity = 'system' | 'special' | 'dangling' | 'circle' | 'name';

/**
 * Reads a folder. Throws DataError where there is none, FileError where a part of it cannot be read.
 *
 * @param except real path of a folder inside it that is not listed
 */
export function listFolder(path: string, except?: string): FolderEntry {
  let real: string;
  try {
    real = realpathSync(path);
    if (!statSync(path).isDirectory()) throw notAFolder(path, 'a file');
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') throw notAFolder(path, 'nothing at this path');
    if (code === 'ENOTDIR') throw notAFolder(path, 'a file');
    throw fileError(path, 'a readable folder', error);
  }
  return new Lister(except).folder(path, path, real);
}

class Lister {
  /** By real path. */
  private readonly known = new Map<string, readonly Entry[]>();
  /** Real paths of the folders around the one that is being read, and its own. */
  private readonly around = new Set<string>();
  private readonly except: string | undefined;

  constructor(except: string | undefined) {
    this.except = except;
  }

  folder(name: string, path: string, real: string): FolderEntry {
    let entries = this.known.get(real);
    if (entries === undefined) {
      this.around.add(real);
      entries = namesIn(path)
        .map(({ bytes, text }) =>
          text === null ? unreadableName(path, bytes) : this.entry(path, real, text),
        )
        .filter((entry) => entry !== null);
      this.around.delete(real);
      this.known.set(real, entries);
    }
    return { kind: 'folder', name, path, real, entries };
  }

  /** null for the exception, and for what is gone since the listing. */
  private entry(folder: string, realFolder: string, name: string): Entry | null {
    const path = join(folder, name);
    const odd = (why: Oddity, isFolder = false): OddEntry => {
      return { kind: 'odd', name, path, why, isFolder };
    };
    if (isSystemName(name)) return odd('system');
    try {
      const own = lstatSync(path, { throwIfNoEntry: false });
      if (own === undefined) return null;
      const target = own.isSymbolicLink() ? realpathSync(path) : null;
      const stats = target === null ? own : statSync(path);
      if (stats.isFile()) return { kind: 'file', name, path, bytes: stats.size, target };
      if (!stats.isDirectory()) return odd('special');
      const real = target ?? join(realFolder, name);
      if (real === this.except) return null;
      return this.around.has(real) ? odd('circle', true) : this.folder(name, path, real);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENOTDIR') return odd('dangling');
      throw fileError(path, 'a file or folder that can be read', error);
    }
  }
}

interface Name {
  readonly bytes: Uint8Array;
  /** null where the bytes are not UTF-8. */
  readonly text: string | null;
}

/** Sorted by their bytes, so that the order is the same everywhere. */
function namesIn(path: string): readonly Name[] {
  let names: readonly Buffer[];
  try {
    names = readdirSync(path, { encoding: 'buffer' });
  } catch (error) {
    throw fileError(path, 'a folder that can be read', error);
  }
  return [...names]
    .sort((a, b) => Buffer.compare(a, b))
    .map((bytes) => ({ bytes, text: isUtf8(bytes) ? bytes.toString() : null }));
}

function unreadableName(folder: string, bytes: Uint8Array): OddEntry | null {
  const path = Buffer.concat([Buffer.from(folder + sep), bytes]);
  let stats: Stats | undefined;
  try {
    stats = statSync(path, { throwIfNoEntry: false });
  } catch {
    // A link that leads nowhere.
  }
  const name = Array.from(bytes, escapedByte).join('');
  return {
    kind: 'odd',
    name,
    path: join(folder, name),
    why: 'name',
    isFolder: stats?.isDirectory() === true,
  };
}

/** ASCII as it is, other bytes as `\xe9`. */
function escapedByte(byte: number): string {
  return byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`;
}

function notAFolder(path: string, got: string): DataError {
  return new DataError({
    where: path,
    expected: 'a readable folder with one sub-folder per class',
    got,
    todo: 'Check the path',
  });
}
