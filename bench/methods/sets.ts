/** The photos that methods are compared on, below one folder: DATA/NAME/{train,test}/CLASS/*.jpg. */
import { mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

export interface PhotoSet {
  readonly name: string;
  /** Its folder below DATA. */
  readonly from: string;
  /** Side of the input in pixels. */
  readonly imageSize: number;
  readonly epochs: number;
  /** Photos of each class for training, the first by name; null: all. */
  readonly perClass: number | null;
}

export const SETS: readonly PhotoSet[] = [
  { name: 'flowers5', from: 'flowers5_227', imageSize: 128, epochs: 3, perClass: null },
  { name: 'flowers5-small', from: 'flowers5_227', imageSize: 224, epochs: 4, perClass: 50 },
  { name: 'signdigits10', from: 'signdigits10_100', imageSize: 128, epochs: 3, perClass: null },
  { name: 'trash6', from: 'trash6_128', imageSize: 128, epochs: 3, perClass: null },
];

/** The folder of a set, and how many photos it has. */
export interface Photos {
  readonly folder: string;
  readonly train: number;
  readonly test: number;
}

/**
 * A part of a set is made of links in a temporary folder, the same ones every time; those that are there already are
 * left alone, since another process may be reading them.
 */
export function photosOf(set: PhotoSet, data: string): Photos {
  const whole = resolve(data, set.from);
  const folder = set.perClass === null ? whole : linked(set, whole, set.perClass);
  return { folder, train: count(join(folder, 'train')), test: count(join(folder, 'test')) };
}

function linked({ name }: PhotoSet, whole: string, perClass: number): string {
  const folder = join(tmpdir(), `thimble-${name}`);
  const wanted = ['train', 'test'].flatMap((split) =>
    readdirSync(join(whole, split)).flatMap((label) => {
      const files = readdirSync(join(whole, split, label)).sort();
      const chosen = split === 'train' ? files.slice(0, perClass) : files;
      return chosen.map((file) => join(split, label, file));
    }),
  );
  const isThere = (path: string) => linkAt(join(folder, path)) === join(whole, path);
  if (wanted.every(isThere) && count(folder) === wanted.length) return folder;
  const made = `${folder}-${String(process.pid)}`;
  for (const path of wanted) {
    mkdirSync(dirname(join(made, path)), { recursive: true });
    symlinkSync(join(whole, path), join(made, path));
  }
  rmSync(folder, { recursive: true, force: true });
  renameSync(made, folder);
  return folder;
}

/** What the link leads to; null where there is none. */
function linkAt(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function count(folder: string): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true }).filter(
    (entry) => !entry.isDirectory(),
  ).length;
}
