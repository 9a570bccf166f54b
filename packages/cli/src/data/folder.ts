/**
 * Folders of classes: one sub-folder per class, its name is the class, sorted names are the labels.
 *
 *   photos/daisy/a.jpg  photos/daisy/summer/b.png  photos/rose/c.webp
 *
 * JPEG, PNG and WebP count, by extension in any case, at any depth. Links are followed; a file that is reached
 * under two classes is an error. A class folder of which nothing can be read is an error unless it may be left
 * out. Everything that is left out is told to a LeftOut.
 */
import { DataError } from '@thimble/core';
import { shellWord } from '../terminal/terminal.js';
import {
  classFolders,
  convertLine,
  requireNoneLost,
  type ClassFolder,
  type LostFolder,
} from './class-folders.js';
import { counted } from '../terminal/format.js';
import { hasClassFolders } from './layout.js';
import type { LeftOut } from './left-out.js';
import type { FolderEntry } from './listing.js';
import { composed, folded } from './names.js';
import { looseCount, type Picture } from './pictures.js';

/** What a source of images needs to know of one. */
export interface ImageFile {
  readonly path: string;
  /** Path inside the folder of classes with '/' between folders: the image's name on every machine. */
  readonly name: string;
  readonly label: number;
}

export interface LabelledPicture extends Picture {
  readonly label: number;
}

export interface ClassPictures {
  /** In the order of their labels. */
  readonly classes: readonly string[];
  /** Sorted by name. */
  readonly pictures: readonly LabelledPicture[];
}

export interface ClassChoice {
  /** Class folders of which nothing can be read are left out (--allow-empty). */
  readonly allowEmpty: boolean;
  /** Names that differ in case only are classes of their own (--as-classes). */
  readonly asClasses: boolean;
}

/** The classes of a folder to train on. Throws DataError. */
export function trainingClasses(
  root: FolderEntry,
  { allowEmpty, asClasses }: ClassChoice,
  leftOut: LeftOut,
): ClassPictures {
  const { found, lost } = classFolders(root, leftOut);
  if (found.length === 0) throw nothingHere(root, lost);
  requireNoneLost(root, lost, allowEmpty, leftOut);
  if (found.length === 1) throw oneClass(root, found[0]);
  if (!asClasses) requireDistinct(root, found);
  return {
    classes: found.map(({ name }) => name),
    pictures: labelled(found, [...found.keys()], leftOut),
  };
}

/** A folder whose name is not quite that of its class. */
export interface Renamed {
  readonly folder: string;
  readonly name: string;
}

/** Classes, and which of them each of some folders is. */
export interface Matched {
  readonly classes: readonly string[];
  /** For each folder the place of its class, −1 where it is none. */
  readonly places: readonly number[];
}

/** Tells the classes of folders by their names. */
export type Match = (names: readonly string[]) => Matched;

export interface KnownPictures extends ClassPictures {
  /** Names of the class folders that hold them. */
  readonly folders: readonly string[];
  readonly renamed: readonly Renamed[];
}

/**
 * The pictures of classes that are known already. A class may be missing; a folder with pictures of no known
 * class is a DataError that names it.
 */
export function knownClasses(
  root: FolderEntry,
  match: Match,
  allowEmpty: boolean,
  leftOut: LeftOut,
): KnownPictures {
  const { found, lost } = classFolders(root, leftOut);
  const names = found.map(({ name }) => name);
  const { classes, places } = match(names);
  const unknown = names.filter((_, index) => places[index] < 0);
  if (unknown.length > 0) throw strangers(root, unknown, classes);
  const missing = lost.filter(({ isEmpty }) => isEmpty);
  requireNoneLost(root, missing, true, leftOut);
  requireNoneLost(
    root,
    lost.filter((folder) => !missing.includes(folder)),
    allowEmpty,
    leftOut,
  );
  if (found.length === 0) throw nothingKnown(root);
  places.forEach((place, index) => {
    const first = places.indexOf(place);
    if (first < index) throw sameClass(root, names[first], names[index], classes[place]);
  });
  const renamed = names
    .map((folder, index) => ({ folder, name: classes[places[index]] }))
    .filter(({ folder, name }) => folder !== composed(name));
  return { classes, folders: names, pictures: labelled(found, places, leftOut), renamed };
}

/** Throws DataError where one file would have two labels. */
function labelled(
  found: readonly ClassFolder[],
  labels: readonly number[],
  leftOut: LeftOut,
): readonly LabelledPicture[] {
  const byFile = new Map<string, LabelledPicture>();
  for (const [index, { pictures }] of found.entries()) {
    for (const picture of pictures) {
      const other = byFile.get(picture.real);
      if (other === undefined) byFile.set(picture.real, { ...picture, label: labels[index] });
      else if (other.label === labels[index]) leftOut.add('repeated', picture.path);
      else throw twoLabels(other, picture);
    }
  }
  return [...byFile.values()].sort((a, b) => compared(a.name, b.name) || compared(a.path, b.path));
}

/** By code unit, so that the order is the same everywhere. */
function compared(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Names that differ in case only are the same on other disks, and a slip on this one. */
function requireDistinct(root: FolderEntry, found: readonly ClassFolder[]): void {
  const byName = new Map<string, string>();
  for (const { name } of found) {
    const other = byName.get(folded(name));
    if (other !== undefined) {
      throw new DataError({
        where: root.path,
        expected: 'class folders whose names differ in more than case',
        got: `'${other}' and '${name}'`,
        todo: 'Put the pictures into one folder; if these are two classes, say --as-classes',
      });
    }
    byName.set(folded(name), name);
  }
}

function nothingHere(root: FolderEntry, lost: readonly LostFolder[]): DataError {
  const isBare = root.entries.every((entry) => entry.kind === 'odd' && entry.why === 'system');
  if (isBare) {
    return new DataError({
      where: root.path,
      expected: 'one sub-folder with images per class',
      got: 'an empty folder',
      todo: 'Add the images, or check the path',
    });
  }
  const unread = lost.find((folder) => folder.unread !== null);
  return new DataError({
    where: root.path,
    expected: 'images of at least two classes, one sub-folder per class',
    got: `no JPEG, PNG or WebP file${besideThem(root)}${unread ? `; '${unread.name}': ${unread.why}` : ''}`,
    todo: unread?.unread
      ? `Convert the pictures, for instance with ${convertLine(unread.unread)}`
      : 'Add a sub-folder with images for every class, or check the path',
  });
}

function besideThem(root: FolderEntry): string {
  const loose = looseCount(root);
  return loose > 0 ? ` in a sub-folder, ${counted(loose, 'picture')} beside` : '';
}

function oneClass(root: FolderEntry, { name, folders }: ClassFolder): DataError {
  const inner = folders.find(hasClassFolders);
  const deeper = inner ? `; if its sub-folders are the classes, give ${shellWord(inner.path)}` : '';
  return new DataError({
    where: root.path,
    expected: 'images of at least two classes, one sub-folder per class',
    got: `only the class '${name}'`,
    todo: `Add a sub-folder with images for every class, or check the path${deeper}`,
  });
}

function strangers(
  root: FolderEntry,
  unknown: readonly string[],
  classes: readonly string[],
): DataError {
  return new DataError({
    where: root.path,
    expected: `only the classes of training (${abridged(classes)})`,
    got: `images in '${unknown.slice(0, NAMED).join("', '")}'${unknown.length > NAMED ? ', …' : ''}`,
    todo: 'Rename or remove that folder, or add the class to the training folder',
  });
}

function nothingKnown(root: FolderEntry): DataError {
  return new DataError({
    where: root.path,
    expected: 'images in folders named like the classes of training',
    got: `no JPEG, PNG or WebP file${besideThem(root)}`,
    todo: 'Check the path',
  });
}

function sameClass(root: FolderEntry, first: string, second: string, name: string): DataError {
  return new DataError({
    where: root.path,
    expected: `one folder for the class '${name}'`,
    got: `'${first}' and '${second}'`,
    todo: 'Put the pictures into one of them, or rename one',
  });
}

function twoLabels(first: Picture, second: Picture): DataError {
  return new DataError({
    where: second.path,
    expected: 'each file in one class',
    got: `the same file as ${first.path}`,
    todo: 'Remove the link from the class that it does not belong to',
  });
}

/** Names in an error. */
const NAMED = 8;

function abridged(names: readonly string[]): string {
  return names.length <= NAMED ? names.join(', ') : `${names.slice(0, NAMED).join(', ')}, …`;
}
