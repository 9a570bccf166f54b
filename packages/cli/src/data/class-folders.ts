/**
 * The sub-folders of a folder as classes: which hold pictures, and of which nothing can be read although they look
 * like classes. A sub-folder with files but without any picture (annotations) is neither and is left out.
 *
 * The name of a class is its folder's in composed form; folders whose names differ in composition only are one.
 */
import { classNameFault, DataError } from '@thimble/core';
import { join } from 'node:path';
import { inOneLine, shellWord } from '../terminal/terminal.js';
import { leaveBeside } from './layout.js';
import type { LeftOut } from './left-out.js';
import type { Entry, FolderEntry } from './listing.js';
import { composed, extensionOf, fileType } from './names.js';
import {
  firstInside,
  holdsPictures,
  picturesIn,
  subfolders,
  type Leaf,
  type Picture,
} from './pictures.js';

export interface ClassFolder {
  readonly name: string;
  /** Several where their names differ in composition. */
  readonly folders: readonly FolderEntry[];
  /** At least one. */
  readonly pictures: readonly Picture[];
}

/** Something that was to be a class, it seems. */
export interface LostFolder {
  readonly name: string;
  readonly path: string;
  readonly why: string;
  readonly isEmpty: boolean;
  /** A picture in a format that is not read; null for none. */
  readonly unread: string | null;
}

export interface ClassFolders {
  /** Sorted by name, by code unit, so that labels are the same everywhere. */
  readonly found: readonly ClassFolder[];
  readonly lost: readonly LostFolder[];
}

/** Throws DataError for a name that no class can have. @param leftOut is told what is neither */
export function classFolders(root: FolderEntry, leftOut: LeftOut): ClassFolders {
  const byName = new Map<string, FolderEntry[]>();
  const aside = root.entries.filter(({ kind }) => kind !== 'folder');
  for (const folder of subfolders(root)) {
    const fault = classNameFault(folder.name);
    if (fault !== null && holdsPictures(folder)) throw badName(folder, fault);
    const name = composed(folder.name);
    if (isSideFolder(folder)) aside.push(folder);
    else byName.set(name, [...(byName.get(name) ?? []), folder]);
  }
  const lost = aside.flatMap((entry) => lostEntry(entry) ?? []);
  const others = aside.filter((entry) => lostEntry(entry) === null);
  leaveBeside({ ...root, entries: others }, [], leftOut);
  const found: ClassFolder[] = [];
  for (const [name, folders] of [...byName].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const pictures = folders.flatMap((folder) => picturesIn(folder, `${name}/`, leftOut));
    if (pictures.length > 0) found.push({ name, folders, pictures });
    else lost.push(...folders.map(lostFolder));
  }
  return { found, lost };
}

/** Folders that are named in an error. */
const NAMED = 5;

/**
 * Throws DataError where a class would be lost in silence.
 *
 * @param mayBeLost they are left out instead (--allow-empty)
 */
export function requireNoneLost(
  root: FolderEntry,
  lost: readonly LostFolder[],
  mayBeLost: boolean,
  leftOut: LeftOut,
): void {
  if (mayBeLost || lost.length === 0) {
    for (const { path } of lost) leftOut.add('empty', path);
    return;
  }
  const named = lost.slice(0, NAMED).map(({ name, why }) => `'${inOneLine(name)}' (${why})`);
  const more = lost.length > NAMED ? ` and ${String(lost.length - NAMED)} more` : '';
  const unread = lost.find((folder) => folder.unread !== null)?.unread ?? null;
  const convert =
    unread === null ? '' : `Convert the pictures, for instance with ${convertLine(unread)}; `;
  throw new DataError({
    where: root.path,
    expected: 'pictures that can be read in every class folder',
    got: `none in ${named.join(', ')}${more}`,
    todo: `${convert}${convert === '' ? 'Add' : 'add'} pictures, remove the folder, or say --allow-empty to leave it out`,
  });
}

/** A command that makes JPEG files of all pictures beside this one. */
export function convertLine(path: string): string {
  const pattern = `${shellWord(join(path, '..'))}/*.${/[^.]*$/.exec(path)?.[0] ?? ''}`;
  return `magick mogrify -format jpg ${pattern}`;
}

/** A folder whose name cannot be read, or a link to one that is not there; null for anything else. */
function lostEntry(entry: Entry): LostFolder | null {
  if (entry.kind !== 'odd') return null;
  const { name, path, why, isFolder } = entry;
  const lost = { name, path, isEmpty: false, unread: null };
  if (why === 'name' && isFolder) return { ...lost, why: 'a name that is not UTF-8' };
  const isLink = why === 'dangling' && fileType(name) === 'other';
  return isLink ? { ...lost, why: 'a link to nothing' } : null;
}

/** Whether there are files, but none that may be a picture. */
function isSideFolder(folder: FolderEntry): boolean {
  const isFile = ({ kind }: Leaf) => kind === 'file';
  return !holdsPictures(folder) && !firstInside(folder, isUnnamed) && !!firstInside(folder, isFile);
}

function isUnnamed(leaf: Leaf): boolean {
  return leaf.kind === 'odd' && leaf.why === 'name';
}

function lostFolder(folder: FolderEntry): LostFolder {
  const { name, path } = folder;
  const lost = { name, path, isEmpty: false, unread: null };
  const unread = firstInside(folder, ({ kind, name: file }) => {
    return kind === 'file' && fileType(file) === 'unread';
  });
  if (unread) return { ...lost, why: `.${extensionOf(unread.name)} only`, unread: unread.path };
  if (firstInside(folder, isUnnamed)) return { ...lost, why: 'names that are not UTF-8' };
  if (firstInside(folder, isOdd))
    return { ...lost, why: 'links to nothing, pipes or devices only' };
  return { ...lost, why: 'empty', isEmpty: true };
}

/** Something that was put there and cannot be used. */
function isOdd(leaf: Leaf): boolean {
  return leaf.kind === 'odd' && leaf.why !== 'system';
}

function badName({ path, name }: FolderEntry, fault: string): DataError {
  return new DataError({
    where: inOneLine(path),
    expected: 'the name of a class, which becomes a line of labels.txt',
    got: `'${inOneLine(name)}', with ${fault}`,
    todo: 'Rename the folder',
  });
}
