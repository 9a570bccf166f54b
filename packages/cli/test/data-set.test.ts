/** Which images train and which validate, from folders on a disk, and what is said about them. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dataSetLines, heldOutLines } from '../src/data/report.js';
import { placesIn } from '../src/data/names.js';
import { readDataSet, readHeldOut, type DataSetOptions } from '../src/data/set.js';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'thimble-set-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** Files whose content is their name, so that no two are copies; `name=content` says another. */
function lay(...names: string[]): void {
  for (const each of names) {
    const [name, content = name] = each.split('=');
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
}

/** Files 0.jpg … of each folder. */
function fill(count: number, ...folders: string[]): void {
  for (const folder of folders) {
    for (let index = 0; index < count; index++) lay(`${folder}/${String(index)}.jpg`);
  }
}

function read(folder: string, options: Partial<DataSetOptions> = {}) {
  const { validation, ...rest } = options;
  return readDataSet({
    ...{ folder: join(root, folder), share: 0.2, seed: 0, asClasses: false, allowEmpty: false },
    ...rest,
    ...(validation === undefined ? {} : { validation: join(root, validation) }),
  });
}

/** What people read, with paths below the root. */
async function lines(
  folder: string,
  options: Partial<DataSetOptions> = {},
): Promise<readonly string[]> {
  const data = await read(folder, options);
  return dataSetLines(data).map((line) => line.replaceAll(`${root}/`, ''));
}

describe('readDataSet', () => {
  it('says where the images of a ready split come from, and what it does not use', async () => {
    fill(3, 'p/train/a', 'p/train/b');
    fill(2, 'p/val/a', 'p/val/b', 'p/test/a', 'p/test/b');
    expect(await lines('p')).toEqual([
      'Data       p/train: 6 images for training',
      'Validation p/val: 4 images',
      'Classes    a 3 + 2, b 3 + 2 (training + validation)',
      'Left out   1 folder of the split that is not used: p/test',
    ]);
  });

  it('says what it holds out, and which class it cannot validate', async () => {
    fill(5, 'p/a', 'p/b');
    fill(1, 'p/c');
    expect(await lines('p')).toEqual([
      'Data       p: 9 images for training',
      'Validation held out, 20.0 % of each class: 2 images',
      'Classes    a 4 + 1, b 4 + 1, c 1 + 0 (training + validation)',
      'Warning    no validation image of c',
    ]);
  });

  it('gives the range of many classes', async () => {
    for (let index = 0; index < 30; index++)
      fill(5 + index, `p/c${String(index).padStart(2, '0')}`);
    expect((await lines('p'))[2]).toBe(
      'Classes    30 of 4 to 27 for training, 1 to 7 for validation; the smallest: c00 4 + 1, c01 5 + 1, c02 6 + 1',
    );
  });

  it('does not train on the validation images inside of the folder', async () => {
    fill(3, 'p/a', 'p/b', 'p/val/a', 'p/val/b');
    const { classes, train, validation, validationFrom } = await read('p', { validation: 'p/val' });
    expect(classes).toEqual(['a', 'b']);
    expect([train.length, validation.length]).toEqual([6, 6]);
    expect(validationFrom).toBe(join(root, 'p/val'));
    symlinkSync(join(root, 'p/val'), join(root, 'v'));
    expect((await read('p', { validation: 'v' })).train).toHaveLength(6);
  });

  it('takes the held-out part of a folder that is a split, also around the training folder', async () => {
    fill(3, 'p/train/a', 'p/train/b', 'p/val/a', 'p/val/b');
    expect((await lines('p/train', { validation: 'p' })).slice(0, 2)).toEqual([
      'Data       p/train: 6 images for training',
      'Validation p/val: 6 images',
    ]);
    expect(await lines('p', { validation: 'p/val' })).toHaveLength(3);
  });

  it('refuses to validate on the training images themselves', async () => {
    fill(3, 'p/a', 'p/b', 's/train/a', 's/train/b');
    symlinkSync('train', join(root, 's/val'));
    await expect(read('p', { validation: 'p' })).rejects.toThrow(
      'expected a folder of validation images, got the training folder',
    );
    await expect(read('s')).rejects.toThrow('got the training folder');
  });

  it('refuses at once what cannot be validated', async () => {
    fill(1, 'p/a', 'p/b');
    lay('q/a/1.jpg=x', 'q/a/2.jpg=x', 'q/b/1.jpg=y');
    for (const folder of ['p', 'q']) {
      await expect(read(folder)).rejects.toThrow(
        'expected a class with two different images, one of which can be held out for validation, got a single ' +
          'image in each of the 2 classes. Add images, or give validation images with --val.',
      );
    }
    fill(1, 'v/a');
    expect((await read('p', { validation: 'v' })).validation).toHaveLength(1);
  });

  it('warns of images that train and validate, and of those with two labels', async () => {
    lay('p/train/a/1.jpg=x', 'p/train/a/2.jpg=y', 'p/train/b/3.jpg=z', 'p/train/b/4.jpg=y');
    lay('p/val/a/9.jpg=x', 'p/val/b/8.jpg=v');
    expect((await lines('p')).slice(3)).toEqual([
      'Warning    1 image in both training and validation, byte for byte: p/val/a/9.jpg is p/train/a/1.jpg',
      'Warning    1 image in more than one class, byte for byte: p/train/b/4.jpg is p/train/a/2.jpg',
    ]);
  });

  it('keeps copies on one side and says that there are some', async () => {
    fill(8, 'p/a', 'p/b');
    lay('p/a/8.jpg=same', 'p/a/9.jpg=same');
    for (let seed = 0; seed < 10; seed++) {
      const { copies } = await read('p', { seed });
      expect([copies.acrossSides.count, copies.within.count]).toEqual([0, 1]);
    }
    expect((await lines('p')).at(-1)).toBe(
      'Copies     1 image once more in the same class, byte for byte: p/a/9.jpg is p/a/8.jpg',
    );
  });

  it('warns where the classes seem to be one level deeper', async () => {
    fill(3, 'p/2023/a', 'p/2023/b', 'p/2024/a', 'p/2024/b');
    expect((await lines('p')).at(-1)).toBe(
      'Warning    every class has the sub-folders a, b: are these the classes?',
    );
  });
});

describe('readHeldOut', () => {
  const classes = ['a', 'B', 'c'];
  const said = (folder: string) => {
    const match = (names: readonly string[]) => ({ classes, places: placesIn(names, classes) });
    const held = readHeldOut(join(root, folder), match, { allowEmpty: false });
    return heldOutLines(held).map((line) => line.replaceAll(`${root}/`, ''));
  };

  it('says which folder was used and whose name was taken for a class', () => {
    fill(2, 'p/train/a', 'p/test/a', 'p/test/b');
    lay('p/test/a/x.HEIC');
    expect(said('p')).toEqual([
      "Data       p/test: 4 images of 2 of the model's 3 classes",
      'Left out   1 picture in a format that is not read, .heic: p/test/a/x.HEIC',
      'Left out   1 folder of the split that is not used: p/train',
      "Names      taken for their classes: 'b' as 'B'",
    ]);
    expect(said('p/train')).toEqual(["Data       p/train: 2 images of 1 of the model's 3 classes"]);
  });
});
