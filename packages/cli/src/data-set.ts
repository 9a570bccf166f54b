/**
 * Which images train and which validate: a ready split, an explicit folder, or a share held out.
 */
import { stratifiedSplit } from '@thimble/core';
import { findSplit, scanFolder, scanFolderAs, type ImageFile } from './data/folder.js';

export interface DataSetOptions {
  readonly folder: string;
  /** Explicit validation folder. */
  readonly validation?: string;
  /** Share of each class that is held out when there is no folder for it. */
  readonly share: number;
  readonly seed: number;
}

export interface DataSet {
  readonly classes: readonly string[];
  readonly train: readonly ImageFile[];
  readonly validation: readonly ImageFile[];
  readonly trainFrom: string;
  readonly validationFrom: string;
  /** Files that are not images by their extension. */
  readonly ignored: number;
}

/**
 * Scans the folders. Throws DataError for empty ones, one class only, or classes unknown to
 * training.
 */
export async function readDataSet(options: DataSetOptions): Promise<DataSet> {
  const { folder, validation, share, seed } = options;
  const split = validation === undefined ? await findSplit(folder) : null;
  const trainFrom = split?.train ?? folder;
  const { classes, files, ignored } = await scanFolder(trainFrom);
  const held = validation ?? split?.held;
  if (held !== undefined) {
    const found = await scanFolderAs(held, classes);
    const parts = { classes, trainFrom, validationFrom: held, ignored: ignored + found.ignored };
    return { ...parts, train: files, validation: found.files };
  }
  const names = files.map(({ name }) => name);
  const labels = files.map(({ label }) => label);
  const parts = stratifiedSplit(names, labels, share, seed);
  const pick = (indices: readonly number[]) => indices.map((index) => files[index]);
  const from = { classes, trainFrom, validationFrom: `${String(share)} of ${trainFrom}`, ignored };
  return { ...from, train: pick(parts.train), validation: pick(parts.validation) };
}
