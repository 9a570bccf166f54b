/** Image folders as people keep them: nested, linked, mixed with other files, or wrong. */
import { DataError } from '@thimble/core';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { knownClasses, trainingClasses } from '../src/data/folder.js';
import { LeftOut } from '../src/data/left-out.js';
import { listFolder } from '../src/data/listing.js';
import { placesIn } from '../src/data/names.js';
import { listingOf } from './listing-of.js';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'thimble-folder-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** Empty files; scanning looks at names only. */
function lay(...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), '');
  }
}

const STRICT = { allowEmpty: false, asClasses: false };

/** Labels by name, classes, and what was left out. */
function scan(listing = listFolder(root), choice = STRICT) {
  const leftOut = new LeftOut();
  const { classes, pictures } = trainingClasses(listing, choice, leftOut);
  return { classes, files: pictures.map(({ name, label }) => [name, label]), lines: leftOut.lines };
}

function scanAs(classes: readonly string[], listing = listFolder(root)) {
  const match = (names: readonly string[]) => ({ classes, places: placesIn(names, classes) });
  const leftOut = new LeftOut();
  const { pictures, renamed } = knownClasses(listing, match, false, leftOut);
  return { files: pictures.map(({ name, label }) => [name, label]), renamed, lines: leftOut.lines };
}

describe('trainingClasses', () => {
  it('labels by sorted folder name, at any depth, and counts what it leaves out', () => {
    lay('rose/b.PNG', 'rose/old/a.jpeg', 'daisy/z.webp', 'daisy/y.JPG', 'daisy/notes.txt');
    lay('.cache/x.jpg', 'daisy/.hidden.jpg', 'README.md', 'notes/readme.txt');
    const { classes, files, lines } = scan();
    expect(classes).toEqual(['daisy', 'rose']);
    expect(files).toEqual([
      ['daisy/y.JPG', 0],
      ['daisy/z.webp', 0],
      ['rose/b.PNG', 1],
      ['rose/old/a.jpeg', 1],
    ]);
    expect(lines.map((line) => line.replaceAll(`${root}/`, ''))).toEqual([
      '2 files that are no pictures: README.md, daisy/notes.txt',
      '2 hidden or system files and folders: .cache, daisy/.hidden.jpg',
      '1 folder without pictures: notes',
    ]);
  });

  it('follows links, and ends on loops', () => {
    lay('a/1.jpg', 'b/2.jpg', 'b/deep/3.jpg', 'elsewhere.jpg');
    symlinkSync(root + '/b', join(root, 'b/deep/up'));
    symlinkSync(root + '/nowhere.jpg', join(root, 'a/dead.jpg'));
    symlinkSync(root + '/elsewhere.jpg', join(root, 'a/link.jpg'));
    const { files } = scan();
    const names = files.map(([name]) => name);
    expect(names).toEqual(['a/1.jpg', 'a/link.jpg', 'b/2.jpg', 'b/deep/3.jpg']);
  });

  it('gives no file two labels, neither by a link to it nor by one to its folder', () => {
    lay('a/1.jpg', 'b/2.jpg');
    symlinkSync(root + '/b/2.jpg', join(root, 'a/link.jpg'));
    expect(() => scan()).toThrow(
      `${root}/b/2.jpg: expected each file in one class, got the same file as ${root}/a/link.jpg. ` +
        'Remove the link from the class that it does not belong to.',
    );
    rmSync(join(root, 'a/link.jpg'));
    symlinkSync(root + '/a', join(root, 'c'));
    expect(() => scan()).toThrow('expected each file in one class');
  });

  it('is one class for one name, composed or not', () => {
    const { classes, files } = scan(listingOf('caf\u00e9/1.jpg', 'cafe\u0301/2.jpg', 'b/3.jpg'));
    expect(classes).toEqual(['b', 'caf\u00e9']);
    expect(files).toEqual([
      ['b/3.jpg', 0],
      ['caf\u00e9/1.jpg', 1],
      ['caf\u00e9/2.jpg', 1],
    ]);
  });

  it('takes names that differ in case for a slip unless all folders are classes', () => {
    const letters = listingOf('A/1.jpg', 'a/2.jpg');
    expect(() => scan(letters)).toThrow("names differ in more than case, got 'A' and 'a'. Put");
    expect(scan(letters, { ...STRICT, asClasses: true }).classes).toEqual(['A', 'a']);
  });

  it.each([
    ['empty', ['c/'], "none in 'c' (empty). Add pictures, remove the folder, or say --allow-empty"],
    [
      'in another format',
      ['c/1.HEIC', 'c/notes.txt'],
      "'c' (.heic only). Convert the pictures, for instance with magick mogrify -format jpg photos/c/*.HEIC; add",
    ],
    ['several of them', ['c/', 'd/1.gif'], "none in 'c' (empty), 'd' (.gif only)"],
  ])('refuses a class that would be lost: %s', (_, names, message) => {
    const listing = listingOf('a/1.jpg', 'b/2.jpg', ...names);
    expect(() => scan(listing)).toThrow(
      `photos: expected pictures that can be read in every class folder, got `,
    );
    expect(() => scan(listing)).toThrow(message);
    const allowed = scan(listing, { ...STRICT, allowEmpty: true });
    expect(allowed.classes).toEqual(['a', 'b']);
    expect(allowed.lines.at(-1)).toMatch(
      /^\d class folders? of which nothing can be read: photos\/c/,
    );
  });

  it.skipIf(process.platform !== 'linux')(
    'refuses class folders whose name or link leads nowhere, and those with hidden files only',
    () => {
      lay('a/1.jpg', 'b/2.jpg', 'hidden/.keep', 'names/notes.txt');
      writeFileSync(Buffer.concat([Buffer.from(`${root}/names/`), Buffer.from([0xe9])]), '');
      symlinkSync('/nowhere/roses', join(root, 'roses'));
      mkdirSync(Buffer.concat([Buffer.from(`${root}/caf`), Buffer.from([0xe9])]));
      expect(() => scan()).toThrow(
        "none in 'caf\\xe9' (a name that is not UTF-8), 'roses' (a link to nothing), " +
          "'hidden' (empty), 'names' (names that are not UTF-8). Add",
      );
    },
  );

  it.each([
    ['a\nb', "'a\\nb', with control characters or line ends in it. Rename the folder."],
    ['\u001b[2J', "'\\x1b[2J', with control"],
  ])('refuses the class %j, which would be no line of labels.txt', (name, message) => {
    expect(() => scan(listingOf(`${name}/1.jpg`, 'b/2.jpg'))).toThrow(message);
  });

  it.each([
    ['a path to nothing', () => 'missing', 'got nothing at this path'],
    ['a file', () => (lay('a.jpg'), 'a.jpg'), 'got a file'],
    ['an empty folder', () => '', 'got an empty folder'],
    ['no images', () => (lay('a/x.txt', 'b/y.gif'), ''), 'got no JPEG, PNG or WebP file'],
    ['images without class folders', () => (lay('x.jpg'), ''), 'got no JPEG, PNG or WebP file'],
    ['one class', () => (lay('a/x.jpg', 'b/y.txt'), ''), "got only the class 'a'"],
    [
      'a folder around the class folders',
      () => (lay('in/a/1.jpg', 'in/b/1.jpg'), ''),
      `are the classes, give `,
    ],
  ])('refuses %s', (_, path, message) => {
    const folder = join(root, path());
    expect(() => scan(listFolder(folder))).toThrow(DataError);
    expect(() => scan(listFolder(folder))).toThrow(message);
  });
});

describe('knownClasses', () => {
  it('takes the labels of training, and classes may be missing', () => {
    lay('rose/a.jpg', 'tulip/readme.txt');
    expect(scanAs(['daisy', 'rose']).files).toEqual([['rose/a.jpg', 1]]);
  });

  it('names a class that training does not know', () => {
    lay('rose/a.jpg', 'tulip/b.jpg');
    expect(() => scanAs(['daisy', 'rose'])).toThrow(
      `${root}: expected only the classes of training (daisy, rose), got images in 'tulip'. ` +
        'Rename or remove that folder, or add the class to the training folder.',
    );
  });

  it('finds classes by their composed names, then in another case, and says the latter', () => {
    const { files, renamed } = scanAs(
      ['cafe\u0301', 'Rose'],
      listingOf('caf\u00e9/1.jpg', 'rose/2.jpg'),
    );
    expect(files).toEqual([
      ['caf\u00e9/1.jpg', 0],
      ['rose/2.jpg', 1],
    ]);
    expect(renamed).toEqual([{ folder: 'rose', name: 'Rose' }]);
    const letters = scanAs(['A', 'a'], listingOf('A/1.jpg', 'a/2.jpg'));
    expect(letters).toMatchObject({
      files: [
        ['A/1.jpg', 0],
        ['a/2.jpg', 1],
      ],
      renamed: [],
    });
    expect(() => scanAs(['rose', 'tulip'], listingOf('Rose/1.jpg', 'rose/2.jpg'))).toThrow(
      "photos: expected one folder for the class 'rose', got 'Rose' and 'rose'.",
    );
  });

  it('refuses a class of which nothing can be read, but not an empty one', () => {
    const names = ['a/1.jpg', 'b/1.heic'];
    expect(() => scanAs(['a', 'b'], listingOf(...names))).toThrow("none in 'b' (.heic only)");
    expect(scanAs(['a', 'b'], listingOf('a/1.jpg', 'b/')).lines).toEqual([
      '1 class folder of which nothing can be read: photos/b',
    ]);
  });

  it('refuses a folder without images', () => {
    lay('rose/a.txt');
    expect(() => scanAs(['rose'])).toThrow(DataError);
  });
});
