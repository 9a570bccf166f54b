/** Files that are replaced as a whole, what the system says of them, and names on a terminal. */
import { FileError, InternalError, ThimbleError } from '@thimble/core';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../src/weights/checkpoint.js';
import { typedError } from '../src/host/typed-error.js';
import {
  makeFolder,
  openToRead,
  readText,
  replaceFile,
  replaceWithCopy,
  replaceWithText,
} from '../src/host/files.js';
import { isPickleFile } from '../src/weights/pickle.js';
import { inOneLine, shellWord, visible } from '../src/terminal/terminal.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-files-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a file that is read', () => {
  it.skipIf(process.platform === 'win32')('is no pipe that waits for a writer', () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const open of [openToRead, readText]) {
      expect(() => open(pipe, 'a text')).toThrow(
        `${pipe}: expected a text, got a pipe, socket or device. Give a file.`,
      );
    }
    expect(() => openCheckpoint(pipe)).toThrow('expected a safetensors file, got a pipe');
    expect(isPickleFile(pipe)).toBe(false);
  });

  it('is no folder', () => {
    expect(() => openToRead(folder, 'a text')).toThrow(
      'expected a text, got a folder. Give a file.',
    );
  });
});

describe('a file that is replaced', () => {
  const path = join(folder, 'a.txt');
  const temporary = `${path}.${String(process.pid)}.tmp`;

  it('is not written through a link that lies where its temporary file goes', async () => {
    const precious = join(folder, 'precious');
    writeFileSync(precious, 'precious');
    symlinkSync(precious, temporary);
    await replaceWithText(path, 'new');
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readFileSync(precious, 'utf8')).toBe('precious');
    symlinkSync(precious, `${join(folder, 'b')}.${String(process.pid)}.tmp`);
    await replaceWithCopy(path, join(folder, 'b'));
    expect(readFileSync(precious, 'utf8')).toBe('precious');
    expect(lstatSync(join(folder, 'b')).isFile()).toBe(true);
  });

  it('stays as it was when writing fails, and nothing is left beside it', async () => {
    const failing = replaceFile(path, () => {
      throw new Error('no more');
    });
    await expect(failing).rejects.toThrow('no more');
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(existsSync(temporary)).toBe(false);
  });

  it('is named by the error of the system', async () => {
    const below = join(path, 'c.txt');
    await expect(replaceWithText(below, '')).rejects.toThrow(
      new FileError({
        where: below,
        expected: 'a file that can be written',
        got: 'a file where a folder should be',
        todo: 'Check the path',
      }).message,
    );
    mkdirSync(join(folder, 'd'));
    await expect(replaceWithText(join(folder, 'd'), '')).rejects.toThrow('got a folder');
    mkdirSync(temporary);
    await expect(replaceWithText(path, '')).rejects.toThrow(`${path}: expected a file`);
    rmdirSync(temporary);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('a folder that is made', () => {
  it('comes with those above it, and may be there already', () => {
    const deep = join(folder, 'deep/er/still');
    makeFolder(deep);
    makeFolder(deep);
    expect(statSync(deep).isDirectory()).toBe(true);
  });

  it('is an error where a file lies in its way, and not made through a link to nowhere', () => {
    writeFileSync(join(folder, 'file'), '');
    symlinkSync(join(folder, 'nowhere'), join(folder, 'link'));
    for (const path of ['file', 'file/below', 'link', 'link/below']) {
      expect(() => {
        makeFolder(join(folder, path));
      }, path).toThrow(/EEXIST|ENOTDIR/);
    }
    expect(existsSync(join(folder, 'nowhere'))).toBe(false);
  });

  it.runIf(existsSync('/proc/self'))('is an error where the system takes none', () => {
    expect(() => {
      makeFolder('/proc/thimble/run');
    }).toThrow('ENOENT');
  });
});

describe('an error', () => {
  it('of the system says what it means', () => {
    expect(() => readText(join(folder, 'none'), 'the labels')).toThrow(
      /none: expected the labels, got nothing at this path\. Check the path\.$/,
    );
    const full = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC', path: 'r/x' });
    expect(typedError(full).message).toBe(
      'r/x: expected files and devices that can be used, got a full disk. ' +
        'Free some room, or choose another disk.',
    );
  });

  it('that nobody expected is a fault of ours, in four parts', () => {
    const typed = typedError(new TypeError('x is undefined'));
    expect(typed).toBeInstanceOf(InternalError);
    expect(typed).toBeInstanceOf(ThimbleError);
    expect(typed.parts.got).toBe('TypeError: x is undefined');
    expect(typedError('a text').parts.got).toBe('a text');
  });
});

describe('names on a terminal', () => {
  it('cannot move its cursor, set its title, or turn its text', () => {
    expect(visible('a\u001b[31mb\u001b]0;t\u0007\u009b2J\r\u202ec\nd\te')).toBe(
      'a\\x1b[31mb\\x1b]0;t\\x07\\x9b2J\\x0d\\u202ec\nd\te',
    );
    expect(inOneLine('a\nb\tc')).toBe('a\\nb\\tc');
    expect(visible('café 😀 名前')).toBe('café 😀 名前');
  });

  it('are quoted in commands to copy', () => {
    expect(shellWord('runs/photos-1')).toBe('runs/photos-1');
    expect(shellWord('my run')).toBe("'my run'");
    expect(shellWord("it's")).toBe("'it'\\''s'");
    expect(shellWord('-rf')).toBe("'-rf'");
    expect(shellWord('')).toBe("''");
  });
});
