/** The pictures in a listed folder and in its sub-folders, at any depth. */
import { join } from 'node:path';
import type { LeftOut } from './left-out.js';
import type { Entry, FileEntry, FolderEntry, OddEntry } from './listing.js';
import { composed, extensionOf, fileType } from './names.js';

export interface Picture {
  readonly path: string;
  /** Path inside of the data set with '/' between folders, composed: the picture's name on every machine. */
  readonly name: string;
  /** The file without links. */
  readonly real: string;
  readonly bytes: number;
}

/**
 * The pictures that can be decoded, each file once, in the order of the listing.
 *
 * @param prefix of their names: '' or with a final '/'
 * @param leftOut is told of everything else
 */
export function picturesIn(
  folder: FolderEntry,
  prefix: string,
  leftOut: LeftOut,
): readonly Picture[] {
  const pictures: Picture[] = [];
  const seen = new Set<string>();
  const visit = ({ real: home, path, entries }: FolderEntry, within: string): void => {
    if (seen.has(home)) {
      leftOut.add('repeated', path);
      return;
    }
    seen.add(home);
    for (const entry of entries) {
      const name = within + composed(entry.name);
      if (entry.kind === 'folder') visit(entry, `${name}/`);
      else if (entry.kind === 'odd') leftOut.add(entry.why, entry.path);
      else {
        const type = fileType(entry.name);
        const real = entry.target ?? join(home, entry.name);
        if (type === 'unread') leftOut.add('format', entry.path, extensionOf(entry.name));
        else if (type === 'other') leftOut.add('other', entry.path);
        else if (seen.has(real)) leftOut.add('repeated', entry.path);
        else pictures.push({ path: entry.path, name, real, bytes: entry.bytes });
        if (type === 'read') seen.add(real);
      }
    }
  };
  visit(folder, prefix);
  return pictures;
}

/** Sub-folders, without what belongs to the system. */
export function subfolders({ entries }: FolderEntry): readonly FolderEntry[] {
  return entries.filter((entry) => entry.kind === 'folder');
}

/** Whether there are pictures, in whatever format, at any depth. */
export function holdsPictures(folder: FolderEntry): boolean {
  return firstInside(folder, isPicture) !== null;
}

/** The first such file or oddity at any depth; null for none. */
export function firstInside(folder: FolderEntry, wanted: (leaf: Leaf) => boolean): Leaf | null {
  const seen = new Set<readonly Entry[]>();
  const visit = ({ entries }: FolderEntry): Leaf | null => {
    if (seen.has(entries)) return null;
    seen.add(entries);
    for (const entry of entries) {
      const own = entry.kind !== 'folder' && wanted(entry) ? entry : null;
      const found = entry.kind === 'folder' ? visit(entry) : own;
      if (found !== null) return found;
    }
    return null;
  };
  return visit(folder);
}

export type Leaf = FileEntry | OddEntry;

/** Pictures that lie in a folder itself. */
export function looseCount({ entries }: FolderEntry): number {
  return entries.filter(isPicture).length;
}

function isPicture({ kind, name }: Entry): boolean {
  return kind === 'file' && fileType(name) !== 'other';
}
