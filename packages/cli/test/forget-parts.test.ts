/** The parts of forgetting that need no model: which images, how α is searched, what undoing keeps, patched files. */
import { readSafetensors, writeSafetensors, type Change, type Changes } from '@thimble/core';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { forgettingImages, heldOutShare, readRunImages } from '../src/forget/images.js';
import { strongestAlpha } from '../src/forget/search.js';
import { readUndo, withEarlier, writeUndo } from '../src/forget/undo.js';
import { writeDataFile } from '../src/run/data-file.js';
import type { RunRecord } from '../src/run/record.js';
import { patchedCopy } from '../src/weights/patch.js';
import { writeClasses } from './cli-command.js';
import { runCase } from './run-cases.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-forget-'));
const path = (...parts: string[]) => join(folder, ...parts);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function recordWith(from: string, validationFrom: string): RunRecord {
  const { record } = runCase('full');
  const data = { ...record.data, from, validationFrom };
  return { ...record, classes: ['blue', 'green', 'red'], data };
}

describe('images of a run', () => {
  it('knows a share that was held out from a folder', () => {
    expect(heldOutShare(recordWith('photos', '0.2 of photos'))).toBe(0.2);
    expect(heldOutShare(recordWith('photos', 'photos/test'))).toBeNull();
    expect(heldOutShare(recordWith('a', 'nothing of a'))).toBeNull();
  });

  it('splits as training did, and refuses other classes', async () => {
    await writeClasses(path('photos'), ['blue', 'green', 'red'], 6);
    const record = recordWith(path('photos'), `0.34 of ${path('photos')}`);
    const base = { run: path('no-run'), record, folder: undefined };
    const request = { ...base, allowEmpty: false, note: () => undefined };
    const data = await readRunImages(request);
    expect([data.train.length, data.validation.length]).toEqual([12, 6]);
    const again = await readRunImages({ ...request, folder: path('photos') });
    expect(again.train).toEqual(data.train);
    await writeClasses(path('others'), ['blue', 'red'], 2);
    await expect(readRunImages({ ...request, folder: path('others') })).rejects.toThrow(
      `${path('others')}: expected the classes of the run: blue, green, red, got blue, red`,
    );
  });

  it('are those that data.json lists, where they were or lie now', async () => {
    await writeClasses(path('listed'), ['blue', 'green', 'red'], 4);
    const record = recordWith(path('listed'), `0.25 of ${path('listed')}`);
    const image = (name: string, label: number) => ({ path: path('listed', name), name, label });
    const train = [image('red/2.png', 2), image('blue/0.png', 0), image('green/1.png', 1)];
    const validation = [image('blue/3.png', 0)];
    mkdirSync(path('run'));
    await writeDataFile(path('run', 'data.json'), {
      ...{ train: { kind: 'folder', files: train }, strict: false },
      validation: { kind: 'folder', files: validation },
    });
    const notes: string[] = [];
    const note = (text: string) => {
      notes.push(text);
    };
    const request = { run: path('run'), record, folder: undefined, allowEmpty: false, note };
    const data = await readRunImages(request);
    expect([data.train, data.validation, data.share]).toEqual([train, validation, 0.25]);
    expect([data.classes, notes]).toEqual([record.classes, []]);
    cpSync(path('listed'), path('moved'), { recursive: true });
    rmSync(path('listed', 'red', '2.png'));
    writeFileSync(path('listed', 'green', '1.png'), 'another');
    expect((await readRunImages(request)).train).toEqual(train.slice(1));
    expect(notes).toEqual([
      `since training: 1 image gone, 1 changed (${path('listed', 'red', '2.png')})`,
    ]);
    const moved = await readRunImages({ ...request, folder: path('moved') });
    expect(moved.train.map((file) => file.path)).toEqual(
      train.map(({ name }) => path('moved', name)),
    );
    // Where not all of them are, the folder is split as training would.
    expect((await readRunImages({ ...request, folder: path('listed') })).train).toHaveLength(8);
  });
});

describe('images to forget', () => {
  const file = (name: string, label: number) => ({ path: path('photos', name), name, label });
  const data = {
    classes: ['blue', 'red'],
    train: [file('blue/0.png', 0), file('blue/1.png', 0), file('red/0.png', 1)],
    validation: [file('blue/2.png', 0), file('red/1.png', 1)],
    trainFrom: 'photos',
  };

  it('are those of a class, on both sides', () => {
    const images = forgettingImages(data, { kind: 'class', name: 'Red' });
    const { retained, forgotten, retainedTest, forgottenTest } = images;
    const all = [retained, forgotten, retainedTest, forgottenTest];
    const names = all.map((files) => files.map(({ name }) => name));
    expect(names).toEqual([
      ['blue/0.png', 'blue/1.png'],
      ['red/0.png'],
      ['blue/2.png'],
      ['red/1.png'],
    ]);
  });

  it('are those that a list names, by path from here or from the folder of classes', () => {
    const list = path('list.txt');
    const here = relative(process.cwd(), path('photos', 'red/0.png'));
    writeFileSync(list, `blue/1.png\r\n\n${here}\n`);
    const images = forgettingImages(data, { kind: 'files', list });
    expect(images.forgotten.map(({ name }) => name)).toEqual(['blue/1.png', 'red/0.png']);
    expect(images.retained.map(({ name }) => name)).toEqual(['blue/0.png']);
    expect(images.retainedTest).toEqual(data.validation);
    expect(images.forgottenTest).toEqual([]);
  });

  it('are refused where training had none of them, or no others', () => {
    const forget = (lines: string) => {
      writeFileSync(path('list.txt'), lines);
      return forgettingImages(data, { kind: 'files', list: path('list.txt') });
    };
    expect(() => forget('blue/2.png\nx\nblue/0.png')).toThrow(
      'expected paths of images that the run was trained on, from photos, got 2 other lines: blue/2.png, x. ' +
        'Take them out; images of validation were never trained on',
    );
    expect(() => forget('\n')).toThrow('photos: expected an image of training to forget, got none');
    expect(() => forget('blue/0.png\nblue/1.png\nred/0.png')).toThrow(
      'photos: expected an image of training that stays, got none',
    );
    expect(() => forgettingImages(data, { kind: 'class', name: 'rod' })).toThrow(/class.*red/);
    expect(() => forgettingImages(data, { kind: 'files', list: path('none') })).toThrow(
      'expected a list of images, got nothing at this path',
    );
  });
});

describe('search', () => {
  /** Whatever is at least `limit` is within. */
  const search = async (first: number, limit: number) => {
    const tried: number[] = [];
    const found = await strongestAlpha(first, (alpha) => {
      tried.push(alpha);
      return Promise.resolve(alpha >= limit);
    });
    return { found, tried };
  };

  it.each([
    [16, 3],
    [1, 37],
    [5, 5],
  ])('from %d finds what is at most 2^(1/8) above %d', async (first, limit) => {
    const { found, tried } = await search(first, limit);
    expect(found).toBeGreaterThanOrEqual(limit);
    expect(found).toBeLessThan(limit * 2 ** (1 / 8) * (1 + 1e-12));
    expect(tried.length).toBeLessThan(12);
  });

  it('ends where everything or nothing is within', async () => {
    expect((await search(1, 0)).found).toBe(2 ** -10);
    expect((await search(1, Infinity)).found).toBeNull();
  });
});

describe('undo', () => {
  const change = (entries: Readonly<Record<number, number>>): Change => ({
    indices: Uint32Array.from(Object.keys(entries), Number),
    before: Float32Array.from(Object.values(entries)),
  });

  it('reads what was written', async () => {
    const changes: Changes = new Map([
      ['head.weight', change({ 1: -0, 70000: 1.5 })],
      ['a.indices.b', change({ 0: 3 })],
    ]);
    const bytes = await writeUndo(path('undo'), { changes, weights: 'best' });
    expect(readFileSync(path('undo')).length).toBe(bytes);
    const read = readUndo(path('undo'));
    expect(read.weights).toBe('best');
    expect(new Map(read.changes)).toEqual(changes);
  });

  it('keeps the first value of what two forgettings have changed', () => {
    const merged = withEarlier(
      new Map([['w', change({ 2: 20, 5: 50 })]]),
      new Map([
        ['w', change({ 1: 11, 5: 51, 9: 91 })],
        ['v', change({ 0: 1 })],
      ]),
    );
    expect(merged.get('w')).toEqual(change({ 1: 11, 2: 20, 5: 50, 9: 91 }));
    expect(merged.get('v')).toEqual(change({ 0: 1 }));
  });

  it('refuses other files', () => {
    const tensor = { name: 'w.indices', dtype: 'I32', shape: [1], data: [0] } as const;
    writeFileSync(path('bad'), writeSafetensors([tensor]));
    expect(() => readUndo(path('bad'))).toThrow('expected as many values as w.indices has');
    writeFileSync(path('bad'), writeSafetensors([]));
    expect(() => readUndo(path('bad'))).toThrow('expected the metadata thimble.weights');
    expect(() => readUndo(path('none'))).toThrow('got nothing at this path');
  });
});

it('a patched copy differs in the patched elements, and back in nothing', () => {
  const tensors = ['a', 'b'].map((name, index) => ({
    ...{ name, dtype: 'F32' as const, shape: [2, 2], data: [1, 2, 3, 4 + index] },
  }));
  writeFileSync(path('from'), writeSafetensors(tensors, new Map([['format', 'pt']])));
  patchedCopy(path('from'), path('to'), new Map([['b', { indices: [3, 0], values: [-0, 0.1] }]]));
  const { tensors: patched, metadata } = readSafetensors(readFileSync(path('to')));
  expect(metadata.get('format')).toBe('pt');
  expect(patched.get('a')?.asFloat32()).toEqual(Float32Array.of(1, 2, 3, 4));
  expect(patched.get('b')?.asFloat32()).toEqual(Float32Array.of(0.1, 2, 3, -0));
  patchedCopy(path('to'), path('back'), new Map([['b', { indices: [0, 3], values: [1, 5] }]]));
  expect(readFileSync(path('back'))).toEqual(readFileSync(path('from')));
  expect(() => {
    patchedCopy(path('from'), path('to'), new Map([['c', { indices: [0], values: [1] }]]));
  }).toThrow('tensor c: expected numbers of 32 bits, as training writes them, got no such tensor');
});
