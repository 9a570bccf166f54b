/** Nothing is left out in silence: of many made-up folders, every file is used or told of, or the folder is refused. */
import { DataError, Random } from '@thimble/core';
import { expect, it } from 'vitest';
import { knownClasses, trainingClasses } from '../src/data/folder.js';
import { heldLayout, trainingLayout } from '../src/data/layout.js';
import { LeftOut, type Reason } from '../src/data/left-out.js';
import type { Entry, FolderEntry, Oddity } from '../src/data/listing.js';
import { isSystemName, placesIn } from '../src/data/names.js';

const FOLDERS: readonly string[] = [
  ...[
    'train',
    'Training',
    'val',
    'valid',
    'test',
    'seg_train',
    'seg_test',
    'a',
    'a',
    'b',
    'b',
    'c',
  ],
  ...['A', 'caf\u00e9', 'cafe\u0301', 'extra', 'steam train', 'test tube', 'x\ny', 'annotations'],
];
const FILES: readonly string[] = [
  ...['1.jpg', '2.jpg', '3.png', '4.webp', '5.jfif', '6.HEIC', '7.gif', 'notes.txt', 'none'],
];
const ODD: readonly Oddity[] = ['system', 'special', 'dangling', 'circle', 'name'];

/** Remembers every path. */
class Account extends LeftOut {
  readonly paths = new Set<string>();

  override add(reason: Reason, path: string, extension = ''): void {
    this.paths.add(path);
    super.add(reason, path, extension);
  }
}

function folderOf(random: Random, name: string, path: string, depth: number): FolderEntry {
  const real = `/${path}`;
  const folders = depth === 0 ? 0 : random.below(depth === 3 ? 5 : 3);
  const files = random.below(depth === 3 ? 2 : 5);
  const names = new Set([
    ...Array.from({ length: folders }, () => FOLDERS[random.below(FOLDERS.length)]),
    ...Array.from({ length: files }, () => FILES[random.below(FILES.length)]),
  ]);
  const entries = [...names].map((each): Entry => {
    const at = `${path}/${each}`;
    if (FOLDERS.includes(each) && random.below(12) > 0)
      return folderOf(random, each, at, depth - 1);
    if (random.below(10) > 0) return { kind: 'file', name: each, path: at, bytes: 1, target: null };
    if (random.below(3) > 0) {
      const why = ODD[random.below(ODD.length)];
      return { kind: 'odd', name: each, path: at, why, isFolder: random.below(2) === 0 };
    }
    const target = `/photos/a/${FILES[random.below(3)]}`;
    return { kind: 'file', name: each, path: at, bytes: 1, target };
  });
  return { kind: 'folder', name, path, real, entries };
}

/** Paths of everything that is no folder, but what lies in folders that were told of as a whole. */
function pathsIn(folder: FolderEntry, told: ReadonlySet<string>): readonly string[] {
  if (told.has(folder.path)) return [];
  return folder.entries.flatMap((entry) =>
    entry.kind === 'folder' ? pathsIn(entry, told) : [entry.path],
  );
}

/** What was refused, or '' for a folder that was read and accounted for. */
function outcome(random: Random): string {
  const root = folderOf(random, 'photos', 'photos', 3);
  const account = new Account();
  const choice = { hasValidation: false, asClasses: random.below(4) === 0 };
  const options = { ...choice, allowEmpty: random.below(2) === 0 };
  try {
    const { train, held } = trainingLayout(root, choice, account);
    const { classes, pictures } = trainingClasses(train, options, account);
    const match = (names: readonly string[]) => ({ classes, places: placesIn(names, classes) });
    const known = held ? knownClasses(held, match, options.allowEmpty, account).pictures : [];
    const used = [...pictures, ...known];
    expect(new Set(pictures.map(({ label }) => classes[label]))).toEqual(new Set(classes));
    expect(new Set(classes).size).toBe(classes.length);
    expect(classes.length).toBeGreaterThanOrEqual(2);
    expect(classes.filter(isSystemName)).toEqual([]);
    expect(new Set(pictures.map(({ real }) => real)).size).toBe(pictures.length);
    const done = new Set([...used.map(({ path }) => path), ...account.paths]);
    expect(pathsIn(root, account.paths).filter((path) => !done.has(path))).toEqual([]);
    return '';
  } catch (error) {
    if (error instanceof DataError) return error.parts.expected;
    throw error;
  }
}

it('accounts for every file of 3000 folders, or refuses them', () => {
  const outcomes = new Map<string, number>();
  for (let index = 0; index < 3000; index++) {
    const what = outcome(Random.of(1, 'folders', index));
    outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
  }
  expect(outcomes.get('')).toBeGreaterThan(100);
  expect(outcomes.size).toBeGreaterThan(10);
});

it('accounts for every file that is measured on', () => {
  const classes = ['a', 'b', 'c', 'caf\u00e9'];
  const match = (names: readonly string[]) => ({ classes, places: placesIn(names, classes) });
  let read = 0;
  for (let index = 0; index < 3000; index++) {
    const root = folderOf(Random.of(2, 'folders', index), 'photos', 'photos', 3);
    const account = new Account();
    try {
      const isClass = (names: readonly string[]) => match(names).places.some((place) => place >= 0);
      const from = heldLayout(root, isClass, account);
      const { pictures } = knownClasses(from, match, true, account);
      const done = new Set([...pictures.map(({ path }) => path), ...account.paths]);
      expect(pathsIn(root, account.paths).filter((path) => !done.has(path))).toEqual([]);
      read++;
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
    }
  }
  expect(read).toBeGreaterThan(100);
});
