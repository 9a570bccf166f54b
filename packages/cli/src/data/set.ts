/**
 * Which images train and which validate: a ready split, an explicit folder, or a share held out; and what there is
 * to say about them before anything is trained.
 */
import { DataError, stratifiedSplit } from '@thimble/core';
import { Garbage, returnFreedMemory } from '@thimble/native';
import { existsSync, realpathSync } from 'node:fs';
import { isFolder } from '../host/files.js';
import { copiesAmong, firstCopies, type CopiesFound } from './copies.js';
import {
  knownClasses,
  trainingClasses,
  type ClassPictures,
  type ImageFile,
  type LabelledPicture,
  type Match,
  type Renamed,
} from './folder.js';
import { heldLayout, sharedInside, trainingLayout } from './layout.js';
import { LeftOut } from './left-out.js';
import { limited } from './limit.js';
import { listFolder, type FolderEntry } from './listing.js';
import { isManifest, listManifest } from './manifest.js';
import { placesIn } from './names.js';

/** How a folder is to be read. */
export interface FolderChoice {
  /** Class folders of which nothing can be read are left out, instead of being refused. */
  readonly allowEmpty: boolean;
}

export interface DataSetOptions extends FolderChoice {
  readonly folder: string;
  /** Explicit validation folder. */
  readonly validation?: string;
  /** Share of each class that is held out when there is no folder for it, in (0, 1). */
  readonly share: number;
  readonly seed: number;
  /** Every sub-folder is a class, whatever its name. */
  readonly asClasses: boolean;
  /** Most images of a class that train; default: all. */
  readonly limit?: number;
}

/** Images of known classes. */
export interface HeldOut {
  /** The folder of the class folders. */
  readonly from: string;
  readonly classes: readonly string[];
  /** Names of the class folders. */
  readonly folders: readonly string[];
  readonly files: readonly ImageFile[];
  /** Folders that were taken for a class of another spelling. */
  readonly renamed: readonly Renamed[];
  readonly leftOut: LeftOut;
}

export interface DataSet {
  readonly classes: readonly string[];
  readonly train: readonly ImageFile[];
  readonly validation: readonly ImageFile[];
  readonly trainFrom: string;
  readonly validationFrom: string;
  /** Share that was held out; null where the validation images have a folder. */
  readonly share: number | null;
  readonly renamed: readonly Renamed[];
  readonly leftOut: LeftOut;
  readonly copies: CopiesFound;
  /** Sub-folders that all class folders have, which may be the classes. */
  readonly sharedInside: readonly string[];
}

/** Images whose listing leaves megabytes. */
const MANY = 5000;

/**
 * Reads the folders, or manifests of what would be in them. Throws DataError for what cannot be trained on or
 * validated, FileError for what cannot be read.
 */
export async function readDataSet(options: DataSetOptions): Promise<DataSet> {
  const data = await readAll(options);
  if (data.train.length > MANY) {
    new Garbage().clear(); // the listing of tens of thousands of files, and of what they hold
    returnFreedMemory();
  }
  const { limit, seed } = options;
  return limit === undefined ? data : { ...data, train: limited(data, limit, seed) };
}

async function readAll(options: DataSetOptions): Promise<DataSet> {
  const { folder, validation } = options;
  const leftOut = new LeftOut();
  const explicit = validation === undefined ? null : listed(validation, realPath(folder)).folder;
  const { folder: root, isSplit } = listed(folder, explicit?.real);
  const asClasses = options.asClasses || isSplit === false;
  const choice = { hasValidation: explicit !== null, asClasses };
  const { train, held } = trainingLayout(root, choice, leftOut);
  const found = trainingClasses(train, options, leftOut);
  const match = (names: readonly string[]) => {
    return { classes: found.classes, places: placesIn(names, found.classes) };
  };
  const from = explicit ? heldLayout(explicit, areClassesBy(match), leftOut) : held;
  if (from === null) return heldOutOf(train, found, options, leftOut);
  requireApart(train, from);
  const known = knownClasses(from, match, options.allowEmpty, leftOut);
  const all = [...found.pictures, ...known.pictures];
  const count = found.pictures.length;
  return {
    classes: found.classes,
    train: found.pictures.map(imageFile),
    validation: known.pictures.map(imageFile),
    trainFrom: train.path,
    validationFrom: from.path,
    share: null,
    renamed: known.renamed,
    leftOut,
    sharedInside: sharedInside(train),
    copies: copiesAmong(all, await firstCopies(all), (index) => index >= count),
  };
}

/**
 * Reads a folder to measure a model on. Throws DataError and FileError.
 *
 * @param match tells the model's classes by the names of folders
 */
export function readHeldOut(folder: string, match: Match, { allowEmpty }: FolderChoice): HeldOut {
  const leftOut = new LeftOut();
  const from = heldLayout(listed(folder).folder, areClassesBy(match), leftOut);
  const { pictures, ...known } = knownClasses(from, match, allowEmpty, leftOut);
  return { from: from.path, ...known, files: pictures.map(imageFile), leftOut };
}

/** A folder, or what a manifest says; of a folder it is not known whether it is a split: null. */
function listed(
  path: string,
  except?: string,
): { readonly folder: FolderEntry; readonly isSplit: boolean | null } {
  if (isManifest(path) && !isFolder(path)) return listManifest(path);
  return { folder: listFolder(path, except), isSplit: null };
}

async function heldOutOf(
  train: FolderEntry,
  { classes, pictures }: ClassPictures,
  { share, seed }: DataSetOptions,
  leftOut: LeftOut,
): Promise<DataSet> {
  const names = pictures.map(({ name }) => name);
  const labels = pictures.map(({ label }) => label);
  const contents = await firstCopies(pictures);
  const parts = stratifiedSplit(names, labels, share, seed, contents);
  if (parts.validation.length === 0) throw nothingToHoldOut(train, classes);
  const pick = (indices: readonly number[]) => indices.map((index) => imageFile(pictures[index]));
  const validates = new Set(parts.validation);
  return {
    classes,
    train: pick(parts.train),
    validation: pick(parts.validation),
    trainFrom: train.path,
    validationFrom: `${String(share)} of ${train.path}`,
    share,
    renamed: [],
    leftOut,
    sharedInside: sharedInside(train),
    copies: copiesAmong(pictures, contents, (index) => validates.has(index)),
  };
}

function areClassesBy(match: Match): (names: readonly string[]) => boolean {
  return (names) => match(names).places.some((place) => place >= 0);
}

/** undefined for a path to nothing. */
function realPath(path: string): string | undefined {
  return existsSync(path) ? realpathSync(path) : undefined;
}

/** What is measured on the images of training says nothing. */
function requireApart(train: FolderEntry, held: FolderEntry): void {
  if (train.real !== held.real) return;
  throw new DataError({
    where: held.path,
    expected: 'a folder of validation images',
    got: `the training folder ${train.path} itself`,
    todo: 'Give another folder, or leave --val out to hold a share of the training images out',
  });
}

function nothingToHoldOut(train: FolderEntry, classes: readonly string[]): DataError {
  return new DataError({
    where: train.path,
    expected: 'a class with two different images, one of which can be held out for validation',
    got: `a single image in each of the ${String(classes.length)} classes`,
    todo: 'Add images, or give validation images with --val',
  });
}

function imageFile({ path, name, label }: LabelledPicture): ImageFile {
  return { path, name, label };
}
