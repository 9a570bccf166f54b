/** Image folders as people keep them: nested, linked, mixed with other files, or wrong. */
import { DataError } from '@thimble/core';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findSplit, scanFolder, scanFolderAs } from '../src/data/folder.js';

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

describe('scanFolder', () => {
  it('labels by sorted folder name, at any depth, and counts what it leaves out', async () => {
    lay('rose/b.PNG', 'rose/old/a.jpeg', 'daisy/z.webp', 'daisy/y.JPG', 'daisy/notes.txt');
    lay('.cache/x.jpg', 'daisy/.hidden.jpg', 'README.md', 'empty/readme.txt');
    const folder = await scanFolder(root);
    expect(folder.classes).toEqual(['daisy', 'rose']);
    expect(folder.files.map((file) => [file.name, file.label])).toEqual([
      ['daisy/y.JPG', 0],
      ['daisy/z.webp', 0],
      ['rose/b.PNG', 1],
      ['rose/old/a.jpeg', 1],
    ]);
    expect(folder.ignored).toBe(1);
  });

  it('follows links and ends on loops', async () => {
    lay('a/1.jpg', 'b/2.jpg', 'b/deep/3.jpg');
    symlinkSync(root + '/b', join(root, 'b/deep/up'));
    symlinkSync(root + '/nowhere.jpg', join(root, 'a/dead.jpg'));
    symlinkSync(root + '/b/2.jpg', join(root, 'a/link.jpg'));
    const folder = await scanFolder(root);
    const names = folder.files.map((file) => file.name);
    expect(names).toEqual(['a/1.jpg', 'a/link.jpg', 'b/2.jpg', 'b/deep/3.jpg']);
    expect(folder.ignored).toBe(1);
  });

  it.each([
    ['a path to nothing', () => 'missing', 'got nothing at this path'],
    ['a file', () => (lay('a.jpg'), 'a.jpg'), 'got a file'],
    ['an empty folder', () => '', 'got an empty folder'],
    ['no images', () => (lay('a/x.txt', 'b/y.gif'), ''), 'got no JPEG, PNG or WebP file'],
    ['images without class folders', () => (lay('x.jpg'), ''), 'got no JPEG, PNG or WebP file'],
    ['one class', () => (lay('a/x.jpg', 'b/y.txt'), ''), "got only the class 'a'"],
  ])('refuses %s', async (_, path, message) => {
    const scan = scanFolder(join(root, path()));
    await expect(scan).rejects.toThrow(DataError);
    await expect(scan).rejects.toThrow(message);
  });
});

describe('scanFolderAs', () => {
  it('takes the labels of training, and classes may be missing', async () => {
    lay('rose/a.jpg', 'tulip/readme.txt');
    const folder = await scanFolderAs(root, ['daisy', 'rose']);
    expect(folder.files.map((file) => [file.name, file.label])).toEqual([['rose/a.jpg', 1]]);
  });

  it('names a class that training does not know', async () => {
    lay('rose/a.jpg', 'tulip/b.jpg');
    await expect(scanFolderAs(root, ['daisy', 'rose'])).rejects.toThrow(
      `${root}: expected only the classes of training (daisy, rose), got images in 'tulip'. ` +
        'Rename or remove that folder, or add the class to the training folder.',
    );
  });

  it('refuses a folder without images', async () => {
    lay('rose/a.txt');
    await expect(scanFolderAs(root, ['rose'])).rejects.toThrow(DataError);
  });
});

describe('findSplit', () => {
  it('takes train and val or test when both hold class folders', async () => {
    lay('train/a/1.jpg', 'test/a/2.jpg', 'val/a/3.jpg');
    expect(await findSplit(root)).toEqual({ train: join(root, 'train'), held: join(root, 'val') });
  });

  it('does not mistake classes with these names for a split', async () => {
    lay('train/1.jpg', 'test/2.jpg');
    expect(await findSplit(root)).toBeNull();
    lay('train/a/1.jpg', 'test/a/2.jpg', 'boat/3.jpg');
    expect(await findSplit(root)).toBeNull();
  });
});
