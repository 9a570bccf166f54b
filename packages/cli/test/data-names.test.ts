/** What is read out of the names of files and folders. */
import { describe, expect, it } from 'vitest';
import {
  composed,
  extensionOf,
  fileType,
  folded,
  isSystemName,
  partOf,
  placesIn,
} from '../src/data/names.js';

describe('fileType', () => {
  it.each([
    ['a.jpg', 'read'],
    ['a.JPEG', 'read'],
    ['a.jfif', 'read'],
    ['a.pjpeg', 'read'],
    ['a.b.webp', 'read'],
    ['IMG_1.HEIC', 'unread'],
    ['scan.tiff', 'unread'],
    ['a.avif', 'unread'],
    ['a.CR2', 'unread'],
    ['a.txt', 'other'],
    ['jpg', 'other'],
    ['.jpg', 'other'],
    ['a.jpg.zip', 'other'],
    ['a.', 'other'],
  ])('%s is %s', (name, type) => {
    expect(fileType(name)).toBe(type);
  });

  it('says the extension in lower case', () => {
    expect([extensionOf('IMG_1.HEIC'), extensionOf('a'), extensionOf('.x')]).toEqual([
      'heic',
      '',
      '',
    ]);
  });
});

describe('isSystemName', () => {
  it.each(['.DS_Store', '.ipynb_checkpoints', '__MACOSX', '@eaDir', '$RECYCLE.BIN', 'Thumbs.db'])(
    'knows %s',
    (name) => expect(isSystemName(name)).toBe(true),
  );
  it.each(['System Volume Information', 'lost+found', '#recycle', 'FOUND.000', 'desktop.ini'])(
    'knows %s',
    (name) => expect(isSystemName(name)).toBe(true),
  );
  it.each(['thumbs', 'recycle', 'found', 'system', 'macosx', '@home', 'a.b'])(
    'leaves %s to people',
    (name) => expect(isSystemName(name)).toBe(false),
  );
});

describe('partOf', () => {
  it.each([
    ['train', 'train'],
    ['Training', 'train'],
    ['TRAIN', 'train'],
    ['training_set', 'train'],
    ['trainset', 'train'],
    ['TrainingData', 'train'],
    ['train-images', 'train'],
    ['val', 'validation'],
    ['Valid', 'validation'],
    ['validation', 'validation'],
    ['dev', 'validation'],
    ['val2017', 'validation'],
    ['test', 'test'],
    ['Testing', 'test'],
    ['test1', 'test'],
    ['test_set', 'test'],
    ['evaluation', 'test'],
  ])('%s means nothing but %s', (name, part) => {
    expect(partOf(name)).toEqual({ part, isWhole: true });
  });

  it.each([
    ['seg_train', 'train'],
    ['asl_alphabet_test', 'test'],
    ['steam train', 'train'],
    ['TEST_SIMPLE', 'test'],
  ])('%s has the word for %s in it', (name, part) => {
    expect(partOf(name)).toEqual({ part, isWhole: false });
  });

  it.each(['daisy', 'trains', 'valve', 'testament', 'device', 'set', 'images', '1', 'constructor'])(
    '%s is no part',
    (name) => expect(partOf(name)).toBeNull(),
  );
});

describe('names of classes', () => {
  it('are the same composed and decomposed, and folded in either case', () => {
    expect(composed('cafe\u0301')).toBe('caf\u00e9');
    expect(folded('CAFE\u0301')).toBe(folded('caf\u00e9'));
    expect(folded('a')).not.toBe(folded('b'));
  });

  it('are found exactly, else by the only one in another case', () => {
    const classes = ['A', 'a', 'Rose', 'cafe\u0301'];
    expect(placesIn(['a', 'A', 'rose', 'caf\u00e9', 'CAF\u00c9', 'b'], classes)).toEqual([
      1, 0, 2, 3, 3, -1,
    ]);
    expect(placesIn(['B'], ['b'])).toEqual([0]);
    expect(placesIn(['\u00e4'], ['A\u0308', 'x'])).toEqual([0]);
    expect(placesIn(['Tulip'], ['tulip', 'TULIP'])).toEqual([-1]);
  });
});
