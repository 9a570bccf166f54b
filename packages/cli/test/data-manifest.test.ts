/** Manifests of images, and a part of the images of each class. */
import { DataError } from '@thimble/core';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { placesIn } from '../src/data/names.js';
import { readDataSet, readHeldOut, type DataSet } from '../src/data/set.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-manifest-'));
const at = (...names: string[]) => join(folder, ...names);
const FILES = ['a/1.jpg', 'a/2.jpg', 'a/3, wet.png', 'b/é 😀.jpg', 'b/5.webp', 'b/6.jpg'];

beforeAll(() => {
  for (const file of FILES) {
    mkdirSync(dirname(at(file)), { recursive: true });
    writeFileSync(at(file), file); // other bytes in each
  }
});
beforeEach(() => {
  for (const name of ['list.csv', 'list.tsv', 'list.jsonl', 'val.csv']) {
    rmSync(at(name), { force: true });
  }
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function read(name: string, text: string, more: object = {}): Promise<DataSet> {
  writeFileSync(at(name), text);
  const rest = { share: 0.34, seed: 0, asClasses: false, allowEmpty: false, ...more };
  return readDataSet({ folder: at(name), ...rest });
}

const named = (files: DataSet['train'], { classes }: DataSet) =>
  files.map(({ path, label }) => `${path.slice(folder.length + 1)} ${classes[label]}`).sort();

const KNOWN = ['dog', 'cat'];
const SPLIT = [
  ['a/1.jpg', 'cat', 'train'],
  ['a/2.jpg', 'dog', 'Training'],
  ['a/3, wet.png', 'cat', 'train'],
  ['b/é 😀.jpg', 'dog', 'val'],
  ['b/5.webp', 'cat', 'validation'],
];
const TRAIN = ['a/1.jpg cat', 'a/2.jpg dog', 'a/3, wet.png cat'];
const VALIDATION = ['b/5.webp cat', 'b/é 😀.jpg dog'];

describe('a manifest', () => {
  const quoted = SPLIT.map((row) => row.map((cell) => `"${cell}"`).join(','));
  it.each([
    ['list.csv', ['path,class,split', ...quoted].join('\n')],
    ['list.csv', `\ufeff${['File,Label,Subset', ...quoted].join('\r\n')}\r\n`],
    ['list.tsv', ['file\tlabel\tsplit', ...SPLIT.map((row) => row.join('\t'))].join('\n')],
    [
      'list.jsonl',
      SPLIT.map(([file_name, label, split]) => JSON.stringify({ file_name, label, split })).join(
        '\n',
      ),
    ],
  ])('with a split is read as the folder that it describes: %s', async (name, text) => {
    const data = await read(name, text);
    expect(data.classes).toEqual(['cat', 'dog']);
    expect(named(data.train, data)).toEqual(TRAIN);
    expect(named(data.validation, data)).toEqual(VALIDATION);
    expect(data.trainFrom).toBe(`${at(name)}#train`);
    // As a run remembers it.
    const again = await readDataSet({
      ...{ folder: data.trainFrom, validation: data.validationFrom, asClasses: true },
      ...{ share: 0.2, seed: 0, allowEmpty: false },
    });
    expect(again.train).toEqual(data.train);
    expect(again.validation).toEqual(data.validation);
  });

  it('without a split has a share of each class held out, whatever classes are called', async () => {
    const rows = FILES.map((file, index) => `"${file}",${index < 3 ? 'train' : '0'}`);
    const data = await read('list.csv', ['file,label', ...rows].join('\n'));
    expect(data.classes).toEqual(['0', 'train']);
    expect([data.train.length, data.validation.length]).toEqual([4, 2]);
    expect(data.share).toBe(0.34);
  });

  it('validates and evaluates too', async () => {
    writeFileSync(at('val.csv'), 'file,label\nb/5.webp,cat\n');
    const rows = 'file,label\na/1.jpg,cat\na/2.jpg,dog\n';
    const data = await read('list.csv', rows, { validation: at('val.csv') });
    expect(named(data.validation, data)).toEqual(['b/5.webp cat']);
    const held = readHeldOut(
      at('val.csv'),
      (names) => ({ classes: KNOWN, places: placesIn(names, KNOWN) }),
      {
        allowEmpty: false,
      },
    );
    expect(held.files).toMatchObject([{ path: at('b/5.webp'), label: 1 }]);
  });

  it.each([
    ['list.csv', '', 'list.csv: expected a line for each image, got none'],
    ['list.csv', 'file,label\n', 'expected a line for each image, got none'],
    [
      'list.csv',
      'name,kind\na,b\n',
      'line 2: expected a value for file, path, .* got only name, kind',
    ],
    [
      'list.csv',
      'file,label\na/1.jpg,\n',
      'line 2: expected a value for label, .* got an empty one',
    ],
    [
      'list.csv',
      'file,label\na/1.jpg,"cat\n',
      'expected lines of values as the first one names them',
    ],
    ['list.csv', 'file,label\na/1.jpg\n', 'expected lines of values as the first one names them'],
    [
      'list.csv',
      'file,label\na/1.jpg,cat\nno.jpg,cat\nb,dog\n',
      'expected 3 files that are there, .* got 2 missing ones: no.jpg in line 3, b in line 4',
    ],
    [
      'list.csv',
      'file,label,split\na/1.jpg,cat,sunday\n',
      'expected train, val or test as split, got sunday',
    ],
    [
      'list.csv',
      'file,label,split\na/1.jpg,cat,train\na/2.jpg,dog,\n',
      'line 3: expected a part of the split, as other lines have, got none',
    ],
    ['list.csv', 'file,label\na/1.jpg,a/b\n', 'expected a label without /, got a/b'],
    ['list.csv', 'file,label\na/1.jpg,cat\na/2.jpg,cat\n', "got only the class 'cat'"],
    ['list.csv', 'file,label\na/1.jpg,cat\na/1.jpg,dog\n', 'expected each file in one class'],
    ['list.jsonl', '{"file": "a/1.jpg"\n', 'line 1'],
    ['list.jsonl', '[1]\n', 'line 1: expected a JSON object'],
  ])('that cannot be used is refused with its line: %s %j', async (name, text, said) => {
    const reading = read(name, text);
    await expect(reading).rejects.toThrow(DataError);
    await expect(reading).rejects.toThrow(new RegExp(said, 'u'));
  });

  it.skipIf(process.platform === 'darwin')('finds names of another composition', async () => {
    const [apart, whole] = ['e\u0301', '\u00e9'];
    mkdirSync(at(`c${apart}`));
    for (const name of [`c${apart}/${apart}1.jpg`, `c${apart}/${whole}2.jpg`]) {
      writeFileSync(at(name), name);
    }
    const rows = [`c${whole}/${whole}1.jpg,cat`, `c${whole}/${apart}2.jpg,dog`, 'a/1.jpg,cat'];
    const data = await read('list.csv', ['file,label', ...rows, 'a/2.jpg,dog'].join('\n'));
    const found = [...data.train, ...data.validation].map(({ path }) => path);
    expect(found).toContain(at(`c${apart}/${apart}1.jpg`));
    expect(found).toContain(at(`c${apart}/${whole}2.jpg`));
    // Of two it is not known which is meant, unless one is named as it is.
    writeFileSync(at(`c${apart}/${apart}2.jpg`), 'other');
    const again = await read('list.csv', ['file,label', ...rows, 'a/2.jpg,dog'].join('\n'));
    const paths = [...again.train, ...again.validation].map(({ path }) => path);
    expect(paths).toContain(at(`c${apart}/${apart}2.jpg`));
    rmSync(at(`c${apart}`), { recursive: true });
  });

  it('takes names with spaces, line breaks and emoji', async () => {
    const odd = ['d/ 1 .jpg', 'd/two\nlines.jpg', 'd/😀 "3".jpg', 'd/4;#%20.jpg'];
    mkdirSync(at('d'), { recursive: true });
    for (const name of odd) writeFileSync(at(name), name);
    const lines = odd.map((file, index) => JSON.stringify({ file, label: `${index % 2}` }));
    const csv = odd.map((name, index) => `"${name.replaceAll('"', '""')}",${index % 2}`);
    for (const [file, text] of [
      ['list.jsonl', lines.join('\n')],
      ['list.csv', ['file,label', ...csv].join('\n')],
    ]) {
      const data = await read(file, text);
      const found = [...data.train, ...data.validation].map(({ path }) => path).sort();
      expect(found).toEqual(odd.map((name) => at(name)).sort());
    }
  });

  it('says what it leaves out', async () => {
    symlinkSync(at('a/1.jpg'), at('a/again.jpg'));
    writeFileSync(at('a/notes.txt'), '');
    const rows = [
      'a/1.jpg,cat',
      'a/again.jpg,cat',
      'a/notes.txt,cat',
      'a/2.jpg,dog',
      'b/5.webp,cat',
    ];
    const data = await read('list.csv', ['file,label', ...rows, 'b/6.jpg,dog'].join('\n'));
    const groups = data.leftOut.groups.map(({ reason, count }) => [reason, count]);
    expect(groups).toEqual([
      ['other', 1],
      ['repeated', 1],
    ]);
  });
});

it('a limit keeps so many training images of each class, the same ones each time', async () => {
  const rows = FILES.map((file, index) => `"${file}",${index < 3 ? 'cat' : 'dog'},train`);
  const text = ['file,label,split', ...rows].join('\n');
  const val = { validation: at('val.csv'), limit: 2, seed: 1 };
  writeFileSync(at('val.csv'), 'file,label\nb/5.webp,dog\n');
  const data = await read('list.csv', text.replaceAll(',train', '').replace(',split', ''), val);
  expect(data.train.map(({ label }) => label)).toEqual([0, 0, 1, 1]);
  expect(data.validation).toHaveLength(1);
  expect(data.leftOut.lines).toEqual([expect.stringMatching(/^2 images beyond --limit: /)]);
  const again = await read('list.csv', text.replaceAll(',train', '').replace(',split', ''), val);
  expect(again.train).toEqual(data.train);
});
