/** Folders as disks have them: links, loops, pipes, names that are not text. */
import { DataError, FileError } from '@thimble/core';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LeftOut } from '../src/data/left-out.js';
import { listFolder, type FolderEntry } from '../src/data/listing.js';
import { picturesIn } from '../src/data/pictures.js';

let root = '';
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'thimble-listing-')));
});
afterEach(() => rmSync(root, { recursive: true }));

function lay(...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), 'x');
  }
}

/** `name kind` for every entry, at any depth. */
function flat({ entries }: FolderEntry, within = ''): readonly string[] {
  return entries.flatMap((entry) => {
    const name = within + entry.name;
    if (entry.kind === 'folder') return [`${name} folder`, ...flat(entry, `${name}/`)];
    return [`${name} ${entry.kind === 'odd' ? entry.why : 'file'}`];
  });
}

/** Names of the pictures, and what was left out. */
function pictures(): { readonly names: readonly string[]; readonly lines: readonly string[] } {
  const leftOut = new LeftOut();
  const names = picturesIn(listFolder(root), '', leftOut).map(({ name }) => name);
  return { names, lines: leftOut.lines.map((line) => line.replaceAll(`${root}/`, '')) };
}

describe('listFolder', () => {
  it('lists files and folders by name, and does not enter those of the system', () => {
    lay('b/1.jpg', 'a/2.jpg', '@eaDir/3.jpg', '.git/x', 'Thumbs.db');
    expect(flat(listFolder(root))).toEqual([
      '.git system',
      '@eaDir system',
      'Thumbs.db system',
      'a folder',
      'a/2.jpg file',
      'b folder',
      'b/1.jpg file',
    ]);
  });

  it('follows links, ends in circles, and reads a folder once', () => {
    lay('a/1.jpg', 'a/deep/2.jpg');
    symlinkSync(root, join(root, 'a/up'));
    symlinkSync(join(root, 'a'), join(root, 'b'));
    symlinkSync(join(root, 'nowhere'), join(root, 'c'));
    symlinkSync('loop', join(root, 'loop'));
    const inside = ['1.jpg file', 'deep folder', 'deep/2.jpg file', 'up circle'];
    const listed = listFolder(root);
    expect(flat(listed)).toEqual([
      ...['a folder', ...inside.map((line) => `a/${line}`)],
      ...['b folder', ...inside.map((line) => `b/${line}`)],
      ...['c dangling', 'loop dangling'],
    ]);
    const [a, b] = listed.entries;
    expect(a.kind === 'folder' && b.kind === 'folder' && a.entries === b.entries).toBe(true);
  });

  it('leaves a folder out by its real path', () => {
    lay('a/1.jpg', 'val/1.jpg');
    symlinkSync(join(root, 'val'), join(root, 'linked'));
    expect(flat(listFolder(root, join(root, 'val')))).toEqual(['a folder', 'a/1.jpg file']);
  });

  it.skipIf(process.platform !== 'linux')('sees pipes, and names that are not UTF-8', () => {
    lay('a.jpg');
    execFileSync('mkfifo', [join(root, 'pipe.jpg')]);
    const named = (name: string) =>
      Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, 'latin1')]);
    mkdirSync(named('caf\xe9'));
    writeFileSync(named('\xff.jpg'), 'x');
    expect(flat(listFolder(root))).toEqual([
      'a.jpg file',
      'caf\\xe9 name',
      'pipe.jpg special',
      '\\xff.jpg name',
    ]);
    expect(listFolder(root).entries[1]).toMatchObject({ isFolder: true });
  });

  it('refuses a file, and a path to nothing', () => {
    lay('a.jpg');
    expect(() => listFolder(join(root, 'a.jpg'))).toThrow('got a file. Check the path.');
    expect(() => listFolder(join(root, 'a.jpg/b'))).toThrow('got a file. Check the path.');
    expect(() => listFolder(join(root, 'b'))).toThrow(DataError);
  });

  it.skipIf(process.getuid?.() === 0)('names a folder that may not be read', () => {
    lay('locked/b.jpg');
    chmodSync(join(root, 'locked'), 0);
    expect(() => listFolder(root)).toThrow(FileError);
    expect(() => listFolder(root)).toThrow('locked: expected a folder that can be read, got no');
    chmodSync(join(root, 'locked'), 0o755);
  });
});

describe('picturesIn', () => {
  it('takes JPEG, PNG and WebP at any depth and counts the rest by reason', () => {
    lay(
      'b.PNG',
      'old/a.jpeg',
      'old/w.jfif',
      'z.webp',
      'notes.txt',
      '.hidden.jpg',
      'i.HEIC',
      'j.heic',
      'k.gif',
    );
    symlinkSync('nothing', join(root, 'lost.jpg'));
    symlinkSync('z.webp', join(root, 'zz.webp'));
    symlinkSync('old', join(root, 'older'));
    symlinkSync('.', join(root, 'up'));
    expect(pictures()).toEqual({
      names: ['b.PNG', 'old/a.jpeg', 'old/w.jfif', 'z.webp'],
      lines: [
        '2 pictures in a format that is not read, .heic: i.HEIC, j.heic',
        '1 picture in a format that is not read, .gif: k.gif',
        '1 file that is no picture: notes.txt',
        '1 hidden or system file or folder: .hidden.jpg',
        '1 link to nothing: lost.jpg',
        '1 link to a folder around it: up',
        '2 links to something that is there already: older, zz.webp',
      ],
    });
  });

  it('names pictures in composed form', () => {
    lay('cafe\u0301/e\u0301.jpg');
    expect(pictures().names).toEqual(['caf\u00e9/\u00e9.jpg']);
  });
});
