/** Room on the disk before a run. The last test needs the compiled command (npm run build). */
import { FileError } from '@thimble/core';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { resumedBytes, takeRoom, writtenBytes } from '../src/host/room.js';
import { MAIN, writeClasses } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-room-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
const going = new AbortController().signal;

describe('room for a run', () => {
  it.each([
    [1, 0, 6],
    [2, 0, 8],
    [9, 2e6, 6], // an earlier run goes before the second epoch comes
    [9, 0.5e6, 7.5],
  ])('of %i epochs in place of %i bytes is %d times its checkpoint', (epochs, replaced, times) => {
    const { bytes, largestFile } = writtenBytes(1e6, 2e6, epochs, 0, replaced);
    expect(bytes - 3e5).toBe(times * 1e6);
    expect(largestFile).toBe(2e6);
  });

  it('of a run that goes on is that of its next save', () => {
    expect(resumedBytes(1e6, 2e6, 0)).toEqual({ bytes: 4.3e6, largestFile: 2e6 });
    expect(resumedBytes(3e6, 2e6, 0)).toEqual({ bytes: 8.3e6, largestFile: 3e6 });
  });

  it('holds what is kept of it: weights, the best ones and the state, for each copy', () => {
    expect(writtenBytes(1e6, 2e6, 9, 3, 0).bytes).toBe(8.3e6 + 3 * 4.3e6);
    expect(resumedBytes(1e6, 2e6, 2).bytes).toBe(4.3e6 + 2 * 4.3e6);
  });

  it('is refused with what is needed and what is free', async () => {
    const taking = takeRoom(folder, { bytes: 1e18, largestFile: 4.83e6 }, going);
    await expect(taking).rejects.toThrow(FileError);
    await expect(taking).rejects.toThrow(
      /: expected room for 1000000000000\.0 MB, 4\.83 MB of it in one file, got [\d.]+ MB free\. /,
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is written, and a little of it kept for the end', async () => {
    await takeRoom(folder, { bytes: 6e6, largestFile: 3e6 }, going);
    expect(statSync(join(folder, '.thimble-room')).size).toBe(2 ** 18);
    await takeRoom(folder, { bytes: 2000, largestFile: 1000 }, going);
    expect(statSync(join(folder, '.thimble-room')).size).toBe(1000);
    rmSync(join(folder, '.thimble-room'));
  });

  it('is given back when the command is to stop', async () => {
    const reason = new Error('stop');
    const taking = takeRoom(folder, { bytes: 1e6, largestFile: 1e6 }, AbortSignal.abort(reason));
    await expect(taking).rejects.toBe(reason);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.skipIf(process.platform === 'win32')('names a limit on the size of a file', async () => {
    await writeClasses(join(folder, 'photos'), ['blue', 'red'], 5);
    const train = [MAIN, 'train', 'photos', '--init', 'random', '--model', 'vit-micro'];
    const args = [...train, '--batch', '4', '--epochs', '1', '--out', 'run'];
    const limited = ['-c', 'ulimit -f 3000; exec "$@"', 'sh', process.execPath, ...args];
    const { status, stderr } = spawnSync('sh', limited, { cwd: folder, encoding: 'utf8' });
    expect(stderr).toBe(
      'thimble: run: expected room for 29.2 MB, 9.64 MB of it in one file, got a file larger than ' +
        'the system allows. Free some, raise the quota or limit (ulimit -f), or choose another --out.\n',
    );
    expect(status).toBe(1);
    expect(readdirSync(folder)).toEqual(['photos']);
  });
});
