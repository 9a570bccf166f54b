/**
 * What a folder is: class folders, or a split with class folders in its parts. Decided from a listing alone.
 *
 *   photos/daisy photos/rose                            class folders
 *   photos/train/daisy … photos/val/daisy …             a split: train and the first of validation and test
 *
 * What is plainly a split but cannot be used as one, and what may be either, is refused: to train on the parts of
 * a split as if they were classes would look like success. A folder without pictures is no part of anything.
 */
import { DataError } from '@thimble/core';
import { join } from 'node:path';
import { counted } from '../terminal/format.js';
import { shellWord } from '../terminal/terminal.js';
import type { LeftOut } from './left-out.js';
import type { Entry, FolderEntry } from './listing.js';
import { fileType, partOf, type Part } from './names.js';
import { holdsPictures, looseCount, subfolders } from './pictures.js';

export interface TrainingLayout {
  /** Has the class folders. */
  readonly train: FolderEntry;
  /** Has class folders too; null where pictures are to be held out of `train`, or lie elsewhere. */
  readonly held: FolderEntry | null;
}

export interface TrainingChoice {
  /** Validation pictures are in a folder of their own (--val). */
  readonly hasValidation: boolean;
  /** Every sub-folder is a class, whatever its name (--as-classes). */
  readonly asClasses: boolean;
}

/**
 * Where the class folders of training are. Throws DataError.
 *
 * @param leftOut is told what lies beside the parts of a split
 */
export function trainingLayout(
  root: FolderEntry,
  { hasValidation, asClasses }: TrainingChoice,
  leftOut: LeftOut,
): TrainingLayout {
  const classes = { train: root, held: null };
  if (asClasses) return classes;
  const { train, held, beside } = partsOf(root);
  const [first, second] = train;
  if (second !== undefined) throw twoOfThem(root, first, second);
  if (first === undefined || !hasClassFolders(first)) {
    if (!held.some(holdsPictures)) return classes; // a class called train, or no split at all
    const [part] = held.filter(holdsPictures);
    if (beside.length > 0) throw besideClasses(root, part, beside[0]);
    throw first === undefined
      ? withoutTraining(root, part)
      : withoutClassFolders(first, OR_CLASSES);
  }
  if (beside.length > 0) throw besideSplit(first, held.find(hasClassFolders), beside[0]);
  const usable = hasValidation ? undefined : held.find(hasClassFolders);
  const lost = lostPart(root);
  if (!hasValidation && usable === undefined && lost)
    throw unusable(first, lost, 'a link to nothing');
  if (!hasValidation && usable === undefined && held.length > 0) {
    throw unusable(first, held[0], pictureCount(held[0]));
  }
  leaveBeside(root, usable === undefined ? [first] : [first, usable], leftOut);
  return { train: first, held: usable ?? null };
}

/**
 * Where the class folders to measure on are: the held-out part of a split, or the folder itself. Throws
 * DataError.
 *
 * @param areClasses whether any of these names is that of a class
 */
export function heldLayout(
  root: FolderEntry,
  areClasses: (names: readonly string[]) => boolean,
  leftOut: LeftOut,
): FolderEntry {
  if (areClasses(subfolders(root).map(({ name }) => name))) return root;
  const { train, held } = partsOf(root);
  const usable = held.find(hasClassFolders);
  if (usable === undefined) {
    const [part] = held.filter(holdsPictures);
    if (part !== undefined) throw withoutClassFolders(part, '');
    if (train.some(hasClassFolders)) throw onlyTraining(root, train[0]);
    return root;
  }
  leaveBeside(root, [usable], leftOut);
  return usable;
}

/** Tells `leftOut` of everything in a folder but these sub-folders. */
export function leaveBeside(
  root: FolderEntry,
  used: readonly FolderEntry[],
  leftOut: LeftOut,
): void {
  for (const entry of root.entries) {
    if (entry.kind === 'odd') leftOut.add(entry.why, entry.path);
    else if (entry.kind === 'file') {
      leftOut.add(fileType(entry.name) === 'other' ? 'other' : 'stray', entry.path);
    } else if (!used.includes(entry)) {
      leftOut.add(holdsPictures(entry) ? 'unused' : 'side', entry.path);
    }
  }
}

/** Whether there are pictures in sub-folders, which then may be classes. */
export function hasClassFolders(folder: FolderEntry): boolean {
  return subfolders(folder).some(holdsPictures);
}

/**
 * Names of sub-folders that every class folder has, two or more: these may be the classes, and the folders around
 * them years, cameras or parts of a split by other names. [] where there are none.
 */
export function sharedInside(root: FolderEntry): readonly string[] {
  const outer = subfolders(root).filter(holdsPictures);
  const [first, ...rest] = outer.map((folder) => subfolders(folder).filter(holdsPictures));
  if (first === undefined || rest.length === 0) return [];
  const shared = first.filter(({ name }) =>
    rest.every((inner) => inner.some((f) => f.name === name)),
  );
  return shared.length < 2 ? [] : shared.map(({ name }) => name);
}

interface Parts {
  /** With pictures. */
  readonly train: readonly FolderEntry[];
  /** For validation first, then for test. */
  readonly held: readonly FolderEntry[];
  /** Other folders with pictures. */
  readonly beside: readonly FolderEntry[];
}

/**
 * The sub-folders by the parts of a split that their names stand for. A name that only has the word in it counts
 * where both sides of a split are there: seg_train beside seg_test, but not a steam train beside a bus.
 */
function partsOf(root: FolderEntry): Parts {
  const named = subfolders(root).map((folder) => ({ folder, found: partOf(folder.name) }));
  const isTrain = (part: Part) => part === 'train';
  const sides = new Set(named.flatMap(({ found }) => (found ? [isTrain(found.part)] : [])));
  const roles = named.map(({ folder, found }) => ({
    folder,
    part: found && (found.isWhole || sides.size === 2) ? found.part : null,
  }));
  const of = (wanted: Part | null) =>
    roles.flatMap(({ folder, part }) => (part === wanted ? [folder] : []));
  return {
    train: of('train').filter(holdsPictures),
    held: [...of('validation'), ...of('test')],
    beside: of(null).filter(holdsPictures),
  };
}

/** A link that was to lead to a part of a split, as to a disk that is not there now. */
function lostPart({ entries }: FolderEntry): Entry | undefined {
  return entries.find(
    (entry) => entry.kind === 'odd' && entry.why === 'dangling' && partOf(entry.name)?.isWhole,
  );
}

const CLASS_FOLDERS = 'one sub-folder with pictures for each class';

function twoOfThem(root: FolderEntry, first: FolderEntry, second: FolderEntry): DataError {
  return new DataError({
    where: root.path,
    expected: 'one folder for training',
    got: `'${first.name}' and '${second.name}'`,
    todo: `Name the one that is meant: thimble train ${shellWord(first.path)}`,
  });
}

function besideClasses(root: FolderEntry, part: FolderEntry, beside: FolderEntry): DataError {
  const what = hasClassFolders(part) ? 'class folders of its own' : 'pictures';
  const todo = hasClassFolders(part)
    ? `Validate on it with --val ${shellWord(part.path)}, or move it out of ${root.path}`
    : `Move it out of ${root.path}`;
  return new DataError({
    where: part.path,
    expected: `only class folders beside '${beside.name}'`,
    got: `a folder named as a part of a split, with ${what}`,
    todo: `${todo}; if it is a class like the others, say --as-classes`,
  });
}

function besideSplit(
  train: FolderEntry,
  held: FolderEntry | undefined,
  beside: FolderEntry,
): DataError {
  const validation = held ? ` --val ${shellWord(held.path)}` : '';
  return new DataError({
    where: beside.path,
    expected: `only parts of a split beside '${train.name}', which has class folders`,
    got: 'a folder with pictures and another name',
    todo:
      `Name the folders that are meant: thimble train ${shellWord(train.path)}${validation}; ` +
      'if every folder is a class, say --as-classes',
  });
}

function withoutTraining(root: FolderEntry, held: FolderEntry): DataError {
  return new DataError({
    where: root.path,
    expected: `a folder for training beside '${held.name}', or class folders`,
    got: 'parts of a split without one for training',
    todo: `To train on '${held.name}', name it: thimble train ${shellWord(held.path)}`,
  });
}

const OR_CLASSES = '; if the folder itself is a class, say --as-classes';

/** @param hint what else may be done */
function withoutClassFolders(part: FolderEntry, hint: string): DataError {
  return new DataError({
    where: part.path,
    expected: CLASS_FOLDERS,
    got: pictureCount(part),
    todo: `Put the pictures of each class into a folder of its name${hint}`,
  });
}

function unusable(train: FolderEntry, held: Entry, got: string): DataError {
  return new DataError({
    where: held.path,
    expected: `${CLASS_FOLDERS}, as in '${train.name}'`,
    got,
    todo:
      `Add the folders, or hold a share of the training pictures out instead: ` +
      `thimble train ${shellWord(train.path)}`,
  });
}

function pictureCount(part: FolderEntry): string {
  const loose = looseCount(part);
  return loose === 0 ? 'no pictures' : `${counted(loose, 'picture')} without`;
}

function onlyTraining(root: FolderEntry, train: FolderEntry): DataError {
  return new DataError({
    where: root.path,
    expected: `a folder for validation or test beside '${train.name}', or class folders`,
    got: 'a folder for training only',
    todo: `To measure on it, name it: ${join(root.path, train.name)}`,
  });
}
