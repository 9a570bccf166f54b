/**
 * Which images are to be forgotten, and which the result is measured on: the images of a run, split as they were
 * for its training.
 */
import { DataError, lookUp } from '@thimble/core';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve, sep } from 'node:path';
import { copiesAmong } from '../data/copies.js';
import type { ImageFile } from '../data/folder.js';
import { LeftOut } from '../data/left-out.js';
import { isManifest } from '../data/manifest.js';
import { placesIn } from '../data/names.js';
import { readDataSet, type DataSet } from '../data/set.js';
import type { SourceDescription } from '../data/source.js';
import { fileError } from '../host/files.js';
import { readDataFile } from '../run/data-file.js';
import { checkFile } from '../run/folder.js';
import type { RunRecord } from '../run/record.js';
import { RUN_FILES, runFile } from '../run/saves.js';
import { counted } from '../terminal/format.js';

/** The parts of a run's images, as core's `Outcomes` has them. */
export interface ForgettingImages {
  readonly retained: readonly ImageFile[];
  readonly forgotten: readonly ImageFile[];
  readonly retainedTest: readonly ImageFile[];
  readonly forgottenTest: readonly ImageFile[];
}

/** What is chosen from. */
export type RunImages = Pick<DataSet, 'classes' | 'train' | 'validation' | 'trainFrom'>;

/** What is to be forgotten: a class, or the images that a file lists. */
export type ForgetTarget =
  | { readonly kind: 'class'; readonly name: string }
  | { readonly kind: 'files'; readonly list: string };

/** Share of each class that is held out where a folder says nothing and neither does the run. */
const DEFAULT_SHARE = 0.2;

/** A run whose images are asked for. */
export interface ImagesRequest {
  /** The run folder. */
  readonly run: string;
  readonly record: RunRecord;
  /** Another place of the images than the run says; undefined: what it says. */
  readonly folder: string | undefined;
  readonly allowEmpty: boolean;
  /** Told in one line of images that are gone or changed. */
  readonly note: (text: string) => void;
}

/**
 * The images that the run was trained on and validated with: those of its data.json, or, where it has none or they
 * are not there, of the folder, split as training would. Throws DataError where the classes are others.
 */
export async function readRunImages(request: ImagesRequest): Promise<DataSet> {
  const { record, folder, allowEmpty } = request;
  const listed = listedImages(request);
  if (listed) return listed;
  const { from, validationFrom } = record.data;
  const share = heldOutShare(record);
  const common = { allowEmpty, share: share ?? DEFAULT_SHARE, seed: record.seed };
  // What a run says are the folders of the classes themselves.
  const data = await readDataSet(
    folder === undefined
      ? {
          ...{ ...common, folder: from, asClasses: true },
          ...(share === null ? { validation: validationFrom } : {}),
        }
      : { ...common, folder, asClasses: false },
  );
  const [found, known] = [data.classes, record.classes].map((names) => names.join(', '));
  if (found === known) return data;
  throw new DataError({
    where: data.trainFrom,
    expected: `the classes of the run: ${known}`,
    got: found,
    todo: 'Give the folder that it was trained on with --data',
  });
}

/** What data.json lists, without what is gone; null where there is nothing left, or another folder has not all. */
function listedImages({ run, record, folder, note }: ImagesRequest): DataSet | null {
  const file = runFile(run, RUN_FILES.data);
  if (!existsSync(file)) return null;
  checkFile(file, RUN_FILES.data, record);
  const sources = readDataFile(file, folder);
  const gone = new Set(sources.gone);
  if (folder !== undefined && gone.size > 0) return null;
  const { from, validationFrom } = record.data;
  const base = isManifest(from) ? dirname(from) : from;
  const present = (source: SourceDescription) =>
    (source.kind === 'folder' ? source.files : [])
      .filter(({ path }) => !gone.has(path))
      .map((image) => ({ ...image, name: nameBelow(base, image) }));
  const [train, validation] = [present(sources.train), present(sources.validation)];
  if (train.length === 0) return null;
  const lost = [...sources.gone, ...sources.changed];
  if (lost.length > 0) {
    const counts = `${counted(gone.size, 'image')} gone, ${String(sources.changed.length)} changed`;
    note(`since training: ${counts} (${lost[0]})`);
  }
  const share = heldOutShare(record);
  const copies = copiesAmong([], [], () => false);
  return {
    ...{ classes: record.classes, train, validation, share, copies },
    ...{ trainFrom: folder ?? from, validationFrom: folder ?? validationFrom },
    ...{ renamed: [], leftOut: new LeftOut(), sharedInside: [] },
  };
}

/** As training called the image: its path below the folder of the classes. */
function nameBelow(base: string, { path, name }: ImageFile): string {
  const below = relative(resolve(base), resolve(path));
  return below.startsWith('..') ? name : below.split(sep).join('/');
}

/** Share that training held out of `data.from`; null where the validation images had a folder. */
export function heldOutShare({ data: { from, validationFrom } }: RunRecord): number | null {
  const rest = ` of ${from}`;
  if (!validationFrom.endsWith(rest)) return null;
  const share = Number(validationFrom.slice(0, -rest.length));
  return share > 0 && share < 1 ? share : null;
}

/**
 * The images by what becomes of them. Throws UnknownNameError for a class that is none, DataError for files that
 * the run was not trained on.
 */
export function forgettingImages(data: RunImages, wanted: ForgetTarget): ForgettingImages {
  const isForgotten =
    wanted.kind === 'class' ? ofClass(data, wanted.name) : listed(data, wanted.list);
  const [forgotten, retained] = parted(data.train, isForgotten);
  if (forgotten.length === 0) throw nothing(data, 'an image of training to forget', wanted);
  if (retained.length === 0) throw nothing(data, 'an image of training that stays', wanted);
  if (wanted.kind === 'files') {
    return { retained, forgotten, retainedTest: data.validation, forgottenTest: [] };
  }
  const [forgottenTest, retainedTest] = parted(data.validation, isForgotten);
  return { retained, forgotten, retainedTest, forgottenTest };
}

function parted(
  files: readonly ImageFile[],
  test: (file: ImageFile) => boolean,
): readonly [ImageFile[], ImageFile[]] {
  return [files.filter(test), files.filter((file) => !test(file))];
}

function ofClass({ classes }: RunImages, name: string): (file: ImageFile) => boolean {
  const [place] = placesIn([name], classes);
  const places = Object.fromEntries(classes.map((each, index) => [each, index]));
  const wanted = place < 0 ? lookUp('class', name, places) : place;
  return ({ label }) => label === wanted;
}

/** By the paths of a list, one on each line: as they lead there from here, or as the run calls its images. */
function listed({ train, trainFrom }: RunImages, list: string): (file: ImageFile) => boolean {
  const lines = readLines(list);
  const byPath = new Map(
    train.flatMap((file) => [[file.name, file] as const, [resolve(file.path), file] as const]),
  );
  const found = lines.map((line) => byPath.get(line) ?? byPath.get(resolve(line)));
  const strange = lines.filter((_, index) => found[index] === undefined);
  if (strange.length > 0) {
    throw new DataError({
      where: list,
      expected: `paths of images that the run was trained on, from ${trainFrom}`,
      got: `${counted(strange.length, 'other line')}: ${strange.slice(0, 3).join(', ')}`,
      todo: 'Take them out; images of validation were never trained on',
    });
  }
  const wanted = new Set(found);
  return (file) => wanted.has(file);
}

function readLines(path: string): readonly string[] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n');
    return lines.map((line) => line.replace(/\r$/, '')).filter((line) => line.trim() !== '');
  } catch (error) {
    throw fileError(path, 'a list of images', error);
  }
}

function nothing({ trainFrom }: RunImages, expected: string, wanted: ForgetTarget): DataError {
  const what = wanted.kind === 'class' ? `class ${wanted.name}` : `the lines of ${wanted.list}`;
  return new DataError({
    where: trainFrom,
    expected,
    got: `none, with ${what} to be forgotten`,
    todo: 'Choose other images',
  });
}
