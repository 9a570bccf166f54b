/** What is said at the end of a command. */
import { describe, expect, it } from 'vitest';
import { skippedLines } from '../src/say/closing.js';

const skip = (index: number, reason: string) => ({ index, name: `${String(index)}.jpg`, reason });

describe('skippedLines', () => {
  it('names a few images with their reasons', () => {
    expect(skippedLines([])).toEqual([]);
    expect(skippedLines([skip(3, 'an empty file')])).toEqual([
      '1 image could not be read:',
      '  3.jpg: an empty file',
    ]);
    const odd = { index: 0, name: 'a\nb\u001b[31m.jpg', reason: 'a pipe' };
    expect(skippedLines([odd])[1]).toBe('  a\\nb\\x1b[31m.jpg: a pipe');
  });

  it('counts the reasons of many, numbers aside', () => {
    const many = [
      ...Array.from({ length: 300 }, (_, at) => skip(at, 'an empty file')),
      ...Array.from({ length: 400 }, (_, at) =>
        skip(at, `damaged: after ${String(at / 4)} % of it`),
      ),
      ...Array.from({ length: 5 }, (_, at) =>
        skip(at, `beginning with the bytes 6e ${String(40 + at)}`),
      ),
    ];
    const lines = skippedLines(many);
    expect(lines).toHaveLength(1 + 20 + 1 + 3);
    expect(lines[0]).toBe('705 images could not be read, the first 20 of them:');
    expect(lines[20]).toBe('  19.jpg: an empty file');
    expect(lines.slice(21)).toEqual([
      'By reason:',
      '     400  damaged: after … % of it',
      '     300  an empty file',
      '       5  beginning with the bytes …',
    ]);
  });

  it('ends, whatever the reasons', () => {
    const letters = [...'abcdefghijklmnopqrstuvwxyz'];
    const lines = skippedLines(letters.map((letter, at) => skip(at, letter.repeat(3))));
    expect(lines).toHaveLength(1 + 20 + 1 + 10 + 1);
    expect(lines.at(-1)).toBe('      16  other reasons');
  });
});
