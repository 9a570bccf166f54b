/** The same bytes under several names: between training and validation, between classes, within one. */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copiesAmong, firstCopies } from '../src/data/copies.js';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'thimble-copies-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function lay(name: string, content: string): { path: string; bytes: number } {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return { path, bytes: statSync(path).size };
}

describe('firstCopies', () => {
  it('compares contents, not names or sizes', async () => {
    const files = [
      lay('a', 'one'),
      lay('b', 'two'),
      lay('c', 'one'),
      lay('d', 'three'),
      lay('e', 'one'),
    ];
    expect(Array.from(await firstCopies(files))).toEqual([0, 1, 0, 3, 0]);
  });

  it('reads files that are longer than a piece to their end', async () => {
    const long = 'x'.repeat(200_000);
    const files = [lay('a', `${long}1`), lay('b', `${long}2`), lay('c', `${long}2`)];
    expect(Array.from(await firstCopies(files))).toEqual([0, 1, 1]);
  });

  it('leaves empty files and those that are gone alone', async () => {
    const files = [
      lay('a', ''),
      lay('b', ''),
      lay('c', 'one'),
      { path: join(root, 'gone'), bytes: 3 },
    ];
    expect(Array.from(await firstCopies(files))).toEqual([0, 1, 2, 3]);
  });
});

describe('copiesAmong', () => {
  /** One letter for each content; the label and the side follow: `x0t` is x, class 0, training. */
  function found(...kinds: readonly string[]) {
    const files = kinds.map((kind, index) => {
      return { path: `${String(index)}${kind}`, bytes: 1, label: Number(kind[1]) };
    });
    const first = kinds.map((kind) => kinds.findIndex(([content]) => content === kind[0]));
    const { acrossSides, acrossClasses, within } = copiesAmong(
      files,
      first,
      (index) => kinds[index][2] === 'v',
    );
    return [acrossSides, acrossClasses, within].map(({ count }) => count);
  }

  it('counts images on both sides, in several classes, and once more', () => {
    expect(found('x0t', 'y0t', 'z1v')).toEqual([0, 0, 0]);
    expect(found('x0t', 'x0v', 'x0v')).toEqual([2, 0, 1]);
    expect(found('x0v', 'y0t', 'x0t')).toEqual([1, 0, 0]);
    expect(found('x0t', 'x1t', 'x1t')).toEqual([0, 1, 1]);
    expect(found('x0t', 'x1v')).toEqual([1, 1, 0]);
    expect(found('x0v', 'x0v', 'x0v', 'y1t', 'y1t')).toEqual([0, 0, 3]);
  });

  it('keeps the first three pairs', async () => {
    const files = Array.from({ length: 6 }, (_, index) => ({
      path: String(index),
      bytes: 1,
      label: 0,
    }));
    const { within } = copiesAmong(
      files,
      files.map(() => 0),
      () => false,
    );
    expect(within).toEqual({
      count: 5,
      examples: [
        ['1', '0'],
        ['2', '0'],
        ['3', '0'],
      ],
    });
  });
});
