/** What a command line names as images: files, folders, patterns, and what is none of these. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inputsOf } from '../src/data/inputs.js';
import { LeftOut } from '../src/data/left-out.js';
import { matches } from '../src/data/pattern.js';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'thimble-inputs-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function lay(...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), 'x');
  }
}

/** Paths below the root; failures as text. */
function named(...given: readonly string[]) {
  const leftOut = new LeftOut();
  const below = (text: string) => text.replaceAll(`${root}/`, '');
  const { paths, failures } = inputsOf(
    given.map((name) => join(root, name)),
    leftOut,
  );
  return {
    paths: paths.map(below),
    failures: failures.map(({ message }) => below(message)),
    lines: leftOut.lines.map(below),
  };
}

describe('inputsOf', () => {
  it('keeps the order of the command line, and that of names within a folder', () => {
    lay('z.jpg', 'a.jpg', 'in/b.jpg', 'in/a.png', 'in/deep/c.webp', 'in/notes.txt', 'in/d.HEIC');
    expect(named('z.jpg', 'in', 'a.jpg', 'z.jpg')).toEqual({
      paths: ['z.jpg', 'in/a.png', 'in/b.jpg', 'in/deep/c.webp', 'a.jpg', 'z.jpg'],
      failures: [],
      lines: [
        '1 picture in a format that is not read, .heic: in/d.HEIC',
        '1 file that is no picture: in/notes.txt',
      ],
    });
  });

  it('expands patterns that name no file', () => {
    lay(
      'in/a.jpg',
      'in/b.jpg',
      'in/c.png',
      'in/.d.jpg',
      'in/deep/e.jpg',
      'in/x*.jpg',
      'other/f.jpg',
    );
    expect(named('in/?.jpg').paths).toEqual(['in/a.jpg', 'in/b.jpg']);
    expect(named('*/*.jpg').paths).toEqual(['in/a.jpg', 'in/b.jpg', 'in/x*.jpg', 'other/f.jpg']);
    expect(named('**/*.jpg').paths).toHaveLength(5);
    expect(named('in/.*').paths).toEqual(['in/.d.jpg']);
    expect(named('in/x*.jpg').paths).toEqual(['in/x*.jpg']); // a file of this name
    expect(named('d*/none.jpg', 'in/*.gif').failures).toEqual([
      'd*/none.jpg: expected a file, or a pattern that some files match, got a pattern that none matches. Check ' +
        'the path; * is any part of a name, ? one character, ** any folders.',
      expect.stringContaining('in/*.gif: expected a file'),
    ]);
  });

  it('names what is missing or empty, and goes on', () => {
    lay('a.jpg', 'empty/notes.txt');
    symlinkSync('loop', join(root, 'loop'));
    const { paths, failures } = named('gone.jpg', 'a.jpg', 'a.jpg/b', 'empty', 'loop');
    expect(paths).toEqual(['a.jpg']);
    expect(failures).toEqual([
      'gone.jpg: expected a JPEG, PNG or WebP file, or a folder of them, got nothing at this path. Check the path.',
      expect.stringContaining('a.jpg/b: expected a JPEG'),
      'empty: expected a folder with JPEG, PNG or WebP files, got one without. Check the path.',
      expect.stringContaining('loop: expected a JPEG'),
    ]);
  });

  it.skipIf(process.platform !== 'linux')('opens no pipe and no device', () => {
    execFileSync('mkfifo', [join(root, 'pipe.jpg')]);
    expect(named('pipe.jpg').failures[0]).toContain('got a pipe, socket or device. Save');
    expect(inputsOf(['/dev/zero'], new LeftOut()).failures).toHaveLength(1);
  });
});

describe('matches', () => {
  it.each([
    ['a.jpg', '*.jpg', true],
    ['a.jpg', '*', true],
    ['a.jpg', '?.jpg', true],
    ['ab.jpg', '?.jpg', false],
    ['abcabd', '*ab?', true],
    ['abcabd', 'a*b*c', false],
    ['', '*', true],
    ['', '?', false],
    ['a(1).jpg', 'a(1)*', true],
    ['axjpg', 'a.jpg', false],
    ['😀.jpg', '?.jpg', true],
    ['cafe\u0301.jpg', 'caf\u00e9.*', true],
  ])('%j by %j: %s', (name, pattern, expected) => {
    expect(matches(name, pattern)).toBe(expected);
  });

  it('takes no more than the product of the lengths', () => {
    const before = performance.now();
    expect(matches('a'.repeat(250), `${'*a'.repeat(100)}b`)).toBe(false);
    expect(performance.now() - before).toBeLessThan(500);
  });
});
