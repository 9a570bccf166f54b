/** What a folder is, by the names in it alone: class folders, a split, or something to refuse. */
import { DataError } from '@thimble/core';
import { describe, expect, it } from 'vitest';
import { heldLayout, sharedInside, trainingLayout } from '../src/data/layout.js';
import { LeftOut } from '../src/data/left-out.js';
import { listingOf } from './listing-of.js';

const AUTO = { hasValidation: false, asClasses: false };

/** `photos/train and photos/val`, or why it is refused. */
function verdict(names: readonly string[], choice = AUTO): string {
  try {
    const { train, held } = trainingLayout(listingOf(...names), choice, new LeftOut());
    return held ? `${train.path} and ${held.path}` : train.path;
  } catch (error) {
    if (error instanceof DataError) return error.message;
    throw error;
  }
}

/** Two classes in a folder. */
const two = (folder: string) => [`${folder}/a/1.jpg`, `${folder}/b/2.jpg`];

describe('trainingLayout', () => {
  it.each<[string, string[], string]>([
    ['class folders', ['a/1.jpg', 'b/2.jpg'], 'photos'],
    ['train and val', [...two('train'), ...two('val')], 'photos/train and photos/val'],
    [
      'Training, Testing',
      [...two('Training'), ...two('Testing')],
      'photos/Training and photos/Testing',
    ],
    [
      'val before test',
      [...two('test'), ...two('train'), ...two('valid')],
      'photos/train and photos/valid',
    ],
    [
      'names with the words',
      [...two('seg_train'), ...two('seg_test')],
      'photos/seg_train and photos/seg_test',
    ],
    [
      'side folders',
      [...two('train'), ...two('val'), 'annotations/a.csv'],
      'photos/train and photos/val',
    ],
    ['a flat test/', [...two('train'), ...two('val'), 'test/1.jpg'], 'photos/train and photos/val'],
    ['an empty test/', [...two('train'), ...two('val'), 'test/'], 'photos/train and photos/val'],
    ['train/ alone', [...two('train'), 'annotations/a.csv'], 'photos/train'],
    ['a class called train', ['train/1.jpg', 'bus/2.jpg'], 'photos'],
    ['a class with train in it', ['steam train/old/1.jpg', 'bus/2.jpg'], 'photos'],
    ['classes like words', ['valve/1.jpg', 'test tube/2.jpg', 'trains/3.jpg'], 'photos'],
  ])('takes %s', (_, names, expected) => {
    expect(verdict(names)).toBe(expected);
  });

  it.each<[string, string[], string]>([
    [
      'class folders beside val/',
      ['a/1.jpg', 'b/2.jpg', ...two('val')],
      "photos/val: expected only class folders beside 'a', got a folder named as a part of a split, with class " +
        'folders of its own. Validate on it with --val photos/val, or move it out of photos; if it is a class ' +
        'like the others, say --as-classes.',
    ],
    [
      'class folders beside a flat test/',
      ['a/1.jpg', 'b/2.jpg', 'test/3.jpg'],
      'Move it out of photos; if it',
    ],
    [
      'a flat test/ as the only part beside train/',
      [...two('train'), 'test/1.jpg', 'test/2.jpg'],
      "photos/test: expected one sub-folder with pictures for each class, as in 'train', got 2 pictures without. " +
        'Add the folders, or hold a share of the training pictures out instead: thimble train photos/train.',
    ],
    ['an empty val/', [...two('train'), 'val/'], 'got no pictures'],
    [
      'another folder with pictures',
      [...two('train'), ...two('val'), 'boat/3.jpg'],
      'thimble train photos/train --val photos/val;',
    ],
    [
      'train/ beside another folder',
      [...two('train'), 'extra/3.jpg'],
      'if every folder is a class, say --as-classes',
    ],
    [
      'a split without class folders',
      ['train/1.jpg', 'test/2.jpg'],
      'photos/train: expected one sub-folder with',
    ],
    [
      'two training folders',
      [...two('train'), ...two('Train'), ...two('val')],
      "got 'Train' and 'train'",
    ],
    ['parts without training', [...two('val'), ...two('test')], 'thimble train photos/val.'],
    [
      'pictures in other formats as well',
      ['a/1.jpg', 'b/2.jpg', 'val/a/1.HEIC'],
      '--val photos/val',
    ],
  ])('refuses %s', (_, names, message) => {
    expect(verdict(names)).toContain(message);
    expect(verdict(names, { ...AUTO, asClasses: true })).toBe('photos');
  });

  it('needs no validation in the folder where there is some elsewhere', () => {
    const elsewhere = { ...AUTO, hasValidation: true };
    expect(verdict([...two('train'), ...two('val')], elsewhere)).toBe('photos/train');
    expect(verdict([...two('train'), 'test/1.jpg'], elsewhere)).toBe('photos/train');
    expect(verdict(['a/1.jpg', 'b/2.jpg', ...two('val')], elsewhere)).toContain('--val photos/val');
  });

  it('takes a link to nothing for the part that it was to be', () => {
    const listing = listingOf(...two('train'));
    const why = 'dangling' as const;
    const lost = { kind: 'odd', name: 'val', path: 'photos/val', why, isFolder: false } as const;
    const broken = { ...listing, entries: [...listing.entries, lost] };
    expect(() => trainingLayout(broken, AUTO, new LeftOut())).toThrow(
      'photos/val: expected one sub',
    );
  });

  it('tells what lies beside the parts', () => {
    const names = [...two('train'), ...two('val'), ...two('test'), 'notes/a.txt', 'x.jpg', 'a.csv'];
    const leftOut = new LeftOut();
    trainingLayout(listingOf(...names), AUTO, leftOut);
    expect(leftOut.lines).toEqual([
      '1 file that is no picture: photos/a.csv',
      '1 picture beside the class folders: photos/x.jpg',
      '1 folder without pictures: photos/notes',
      '1 folder of the split that is not used: photos/test',
    ]);
  });
});

describe('sharedInside', () => {
  it('finds what may be the classes inside of folders of another kind', () => {
    expect(sharedInside(listingOf(...two('2023'), ...two('2024'), '2024/c/1.jpg'))).toEqual([
      'a',
      'b',
    ]);
    expect(sharedInside(listingOf(...two('2023'), '2024/a/1.jpg'))).toEqual([]);
    expect(sharedInside(listingOf(...two('2023'), ...two('2024'), 'x/1.jpg'))).toEqual([]);
    expect(sharedInside(listingOf(...two('2023')))).toEqual([]);
  });
});

describe('heldLayout', () => {
  const known = (names: readonly string[]) =>
    names.some((name) => ['a', 'b', 'test'].includes(name));
  const held = (...names: string[]) => heldLayout(listingOf(...names), known, new LeftOut()).path;

  it('takes the held-out part of a split, and class folders as they are', () => {
    expect(held(...two('train'), ...two('val'))).toBe('photos/val');
    expect(held(...two('Training'), ...two('Test'))).toBe('photos/Test');
    expect(held(...two('valid'))).toBe('photos/valid');
    expect(held('a/1.jpg', 'b/2.jpg')).toBe('photos');
    expect(held('rose/1.jpg')).toBe('photos');
  });

  it('takes classes of the model for classes, whatever their names', () => {
    expect(held('test/1.jpg', 'train/a/2.jpg')).toBe('photos');
  });

  it('refuses what cannot be measured on', () => {
    expect(() => held('val/1.jpg', ...two('train'))).toThrow('photos/val: expected one sub-folder');
    expect(() => held(...two('train'))).toThrow('To measure on it, name it: photos/train.');
  });
});
