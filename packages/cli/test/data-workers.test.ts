/** Worker threads of the loader: errors keep their class, and a thread that dies says where it was. */
import * as core from '@thimble/core';
import {
  augments,
  DataError,
  defaultPreprocess,
  ERROR_CLASSES,
  FileError,
  InternalError,
} from '@thimble/core';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { LoaderSettings } from '../src/data/loader.js';
import { workerMaker } from '../src/data/maker.js';
import { receivedError, sentError } from '../src/data/sent-error.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-workers-'));
afterAll(() => rmSync(folder, { recursive: true }));

const settings: LoaderSettings = {
  source: {
    kind: 'folder',
    files: ['a', 'b', 'c'].map((name) => ({ path: `/photos/${name}.jpg`, name, label: 0 })),
  },
  purpose: 'evaluate',
  batch: 2,
  seed: 0,
  preprocess: { ...defaultPreprocess, size: 8 },
  augment: augments.none,
  strict: false,
};

describe('errors between threads', () => {
  const parts = { where: 'a', expected: 'b', got: 'c', todo: 'd' };

  it('keep their class, their parts and their stack', () => {
    for (const Kind of ERROR_CLASSES) {
      const error = new Kind(parts);
      const received = receivedError(structuredClone(sentError(error)));
      expect(received).toBeInstanceOf(Kind);
      expect(received).toMatchObject({ name: error.name, parts, message: error.message });
      expect(received.stack).toBe(error.stack);
    }
  });

  it('are of every class that there is', () => {
    const classes = Object.values(core).filter(
      (value) => typeof value === 'function' && /Error$/.test(value.name),
    );
    expect(new Set(ERROR_CLASSES)).toEqual(new Set(classes));
  });

  it('are in four parts whatever they were', () => {
    const full = Object.assign(new Error('full'), { code: 'EMFILE', path: '/photos/a.jpg' });
    expect(receivedError(sentError(full))).toBeInstanceOf(FileError);
    const fault = receivedError(sentError(new TypeError('x is undefined')));
    expect(fault).toBeInstanceOf(InternalError);
    expect(fault.message).toContain('got TypeError: x is undefined. Please report this');
    expect(receivedError(sentError('odd')).parts.got).toBe('odd');
  });
});

describe('a worker that dies', () => {
  const body = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(
      path,
      `import { parentPort, workerData } from 'node:worker_threads';
       parentPort.on('message', () => { Atomics.store(workerData.place, 0, 1); ${text} });`,
    );
    return pathToFileURL(path);
  };
  const request = { epoch: 0, index: 0 };
  const buffer = () => new Float32Array(2 * 3 * 64);

  it.each([
    ['ends', 'process.exit(7)', 'a thread that ended with code 7'],
    ['fails', 'throw new RangeError("odd")', 'a thread that failed (odd)'],
  ])('%s: every batch fails, with the image that it was at', async (name, text, got) => {
    const maker = workerMaker(body(`${name}.mjs`, text), settings);
    const fillings = [maker.fill(request, buffer()), maker.fill(request, buffer())];
    for (const filling of fillings) {
      await expect(filling).rejects.toThrow(DataError);
      await expect(filling).rejects.toThrow(`/photos/b.jpg: expected a thread`);
      await expect(filling).rejects.toThrow(`got ${got}. Remove the image if it happens again`);
    }
    await expect(maker.fill(request, buffer())).rejects.toThrow(`got ${got}. `);
    await maker.close();
  });

  it('before its first image says so', async () => {
    const path = join(folder, 'broken.mjs');
    writeFileSync(path, 'throw new Error("no start")');
    const maker = workerMaker(pathToFileURL(path), settings);
    await expect(maker.fill(request, buffer())).rejects.toThrow('a worker: expected a thread');
    await maker.close();
  });
});
