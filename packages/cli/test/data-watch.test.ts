/** Images that change or go while they are trained on: used as they are now, left out, or too many. */
import { augments, DataError, defaultPreprocess } from '@thimble/core';
import {
  appendFileSync,
  mkdtempSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Loader, type LoaderSettings } from '../src/data/loader.js';
import { watched } from '../src/data/source.js';
import { photo } from './image-files.js';

const COUNT = 30;
const BATCH = 6;
let folder = '';
let paths: string[] = [];
let notes: string[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thimble-watch-'));
  paths = Array.from({ length: COUNT }, (_, index) => join(folder, `${String(index)}.png`));
  const file = await photo(1, 24, 24).png().toBuffer();
  for (const path of paths) writeFileSync(path, file);
  notes = [];
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function open(workers: number, purpose: LoaderSettings['purpose'] = 'train'): Loader {
  const files = paths.map((path) => ({ path, name: path, label: 0 }));
  const preprocess = { ...defaultPreprocess, size: 16 };
  const source = watched({ kind: 'folder', files });
  const settings = { source, purpose, batch: BATCH, seed: 0, preprocess, strict: false };
  const options = { workers, onNote: (text: string) => notes.push(text) };
  return new Loader({ ...settings, augment: augments.light }, options);
}

/** Indices of the images of an epoch, those that count. */
async function epoch(loader: Loader, number: number): Promise<readonly number[]> {
  const seen: number[] = [];
  for await (const { indices, real } of loader.epoch(number)) {
    seen.push(...indices.subarray(0, real));
  }
  return seen.sort((a, b) => a - b);
}

const all = Array.from({ length: COUNT }, (_, index) => index);

describe.each([0, 2])('a loader of %d workers', (workers) => {
  it('leaves out what was lost between epochs, and says so once', async () => {
    const loader = open(workers);
    expect(await epoch(loader, 0)).toEqual(all);
    rmSync(paths[3]);
    truncateSync(paths[8], 200);
    const left = await epoch(loader, 1);
    expect(left.length).toBe(COUNT); // batches are full all the same
    expect(left.includes(3) || left.includes(8)).toBe(false);
    await epoch(loader, 2);
    expect(notes).toEqual([expect.stringMatching(/^2 images were lost since training began and /)]);
    for (const index of [3, 8]) expect(notes[0]).toContain(paths[index]);
    expect(loader.skipped.map(({ index, isLost }) => [index, isLost])).toEqual([
      [3, true],
      [8, true],
    ]);
    await loader.close();
  });

  it('uses what has changed as it is now, and says so once for each change', async () => {
    const loader = open(workers);
    await epoch(loader, 0);
    await photo(9, 30, 30).png().toFile(paths[5]);
    await epoch(loader, 1);
    await epoch(loader, 2);
    const said = '1 image has changed since training began and is used as it is now';
    expect(notes).toEqual([`${said}: ${paths[5]}`]);
    expect(await epoch(loader, 3)).toEqual(all);
    appendFileSync(paths[5], ' ');
    await epoch(loader, 4);
    expect(notes).toEqual([`${said}: ${paths[5]}`, `${said}: ${paths[5]}`]);
    expect(loader.skipped).toEqual([]);
    await loader.close();
  });

  it('ends where more than a tenth is lost, and says how to go on', async () => {
    const loader = open(workers);
    await epoch(loader, 0);
    for (const path of paths.slice(0, 4)) rmSync(path);
    const failed = epoch(loader, 1);
    await expect(failed).rejects.toThrow(DataError);
    await expect(failed).rejects.toThrow(
      /\.png: expected the images that training began with, got 4 of 30 lost so far, this one the first\. Bring them back and go on with thimble resume/,
    );
    await loader.close();
  });

  it('ends at once where the whole disk has gone', async () => {
    const loader = open(workers);
    await epoch(loader, 0);
    renameSync(folder, `${folder}-elsewhere`);
    try {
      await expect(epoch(loader, 1)).rejects.toThrow('got 4 of 30 lost so far');
    } finally {
      renameSync(`${folder}-elsewhere`, folder);
    }
    await loader.close();
  });
});

describe('watched files', () => {
  it('are counted in evaluation too', async () => {
    const loader = open(0, 'evaluate');
    expect(await epoch(loader, 0)).toEqual(all);
    rmSync(paths[3]);
    expect((await epoch(loader, 0)).length).toBe(COUNT - 1);
    expect(notes).toEqual([`1 image was lost since training began and is left out: ${paths[3]}`]);
    await loader.close();
  });

  it('that were never any images are not lost, however many', async () => {
    for (const path of paths.slice(0, 20)) writeFileSync(path, 'no image');
    rmSync(paths[20]);
    const loader = open(0);
    expect(new Set(await epoch(loader, 0))).toEqual(new Set(all.slice(21)));
    expect(notes).toEqual([]);
    expect(loader.skipped.filter(({ isLost }) => isLost)).toEqual([]);
    await loader.close();
  });
});
