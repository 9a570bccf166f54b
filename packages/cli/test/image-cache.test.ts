/** The cache of decoded images: the same bits as without, bounded, for many processes, whatever lies in it. */
import { augments, defaultPreprocess, type RawImage } from '@thimble/core';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ImageCache, keyOf, userCache } from '../src/data/image-cache.js';
import { Loader, type LoaderSettings } from '../src/data/loader.js';
import { photo } from './image-files.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-cache-'));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const image = (level: number, width = 8, height = 4): RawImage => ({
  ...{ width, height, channels: 3 },
  data: new Uint8Array(3 * width * height).fill(level),
});
const key = (text: string) => keyOf({ path: text, bytes: 1, modifiedMs: 2, changedMs: 3 }, 'form');
const open = (name: string, bytes = 1e6, since = 0) =>
  new ImageCache({ folder: at(name), bytes, since });
/** Paths of all files of a cache. */
const entries = (name: string) =>
  readdirSync(at(name), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
const bytesOf = (name: string) => entries(name).reduce((sum, path) => sum + statSync(path).size, 0);

describe('ImageCache', () => {
  it('gives back what it was given, to this process and the next', () => {
    const cache = open('plain');
    expect(cache.get(key('a'))).toBe(null);
    cache.put(key('a'), image(7));
    cache.put(key('a'), image(7));
    for (const each of [cache, open('plain')]) {
      expect(each.get(key('a'))).toMatchObject({ width: 8, height: 4, channels: 3 });
      expect(Array.from(each.get(key('a'))?.data ?? [])).toEqual(Array.from(image(7).data));
      expect(each.get(key('b'))).toBe(null);
    }
    expect(entries('plain').length).toBe(1);
  });

  it.runIf(process.platform !== 'win32')('is for nobody else to read', () => {
    open('private').put(key('a'), image(7));
    expect(statSync(at('private')).mode & 0o077).toBe(0);
    for (const path of entries('private')) expect(statSync(path).mode & 0o077).toBe(0);
  });

  it('knows an image by its path, size, times and form', () => {
    const file = { path: 'a', bytes: 1, modifiedMs: 2, changedMs: 3 };
    const others = [{ path: 'b' }, { bytes: 2 }, { modifiedMs: 2.5 }, { changedMs: 4 }];
    const keys = others.map((other) => keyOf({ ...file, ...other }, 'form'));
    const all = new Set([...keys, keyOf(file, 'form'), keyOf(file, 'other')]);
    expect(all.size).toBe(6);
    expect(keyOf({ ...file }, 'form')).toBe(keyOf(file, 'form'));
  });

  it.each([
    ['empty', () => Buffer.alloc(0)],
    ['cut off', (file: Buffer) => file.subarray(0, -1)],
    ['longer', (file: Buffer) => Buffer.concat([file, Buffer.alloc(1)])],
    ['with one other bit', (file: Buffer) => changed(file, file.length - 1, 1)],
    ['with another width', (file: Buffer) => changed(file, 8, 8 ^ 4)],
    ['of another program', (file: Buffer) => changed(file, 0, 1)],
    ['zeros, as a power cut leaves them', (file: Buffer) => Buffer.alloc(file.length)],
  ])('removes an entry that is %s', (_, damage) => {
    const cache = open('damaged');
    cache.put(key('a'), image(7));
    const [path] = entries('damaged');
    writeFileSync(path, damage(readFileSync(path)));
    expect(cache.get(key('a'))).toBe(null);
    expect(existsSync(path)).toBe(false);
    cache.put(key('a'), image(7));
    expect(cache.get(key('a'))?.data.length).toBe(96);
  });

  it('never has more bytes than it may, and keeps what was used last', () => {
    const bytes = 16 * 10 * 116; // ten entries in each sixteenth
    const names = Array.from({ length: 600 }, (_, index) => `image ${String(index)}`);
    const first = open('bounded', bytes, Date.now() + 1e6); // nothing counts as used
    names.slice(0, 300).forEach((name, index) => {
      first.put(key(name), image(index % 256));
      const [time, path] = [1000 + index, at(`bounded/${key(name).slice(0, 1)}/${key(name)}`)];
      if (existsSync(path)) utimesSync(path, time, time);
      if (index % 20 === 0) expect(bytesOf('bounded')).toBeLessThanOrEqual(bytes);
    });
    expect(first.get(key(names[299]))).not.toBe(null);
    expect(first.get(key(names[0]))).toBe(null);
    const kept = names.slice(0, 300).filter((name) => first.get(key(name)));
    expect(kept.length).toBeGreaterThan(100);
    expect(names.indexOf(kept[0])).toBeGreaterThan(50); // the oldest went, from each sixteenth
    // The images of one run push others out, but not each other.
    for (const path of entries('bounded')) utimesSync(path, 1000, 1000);
    const run = open('bounded', bytes, Date.now() - 60_000);
    for (const name of names.slice(300)) run.put(key(name), image(1));
    const stored = names.slice(300).filter((name) => run.get(key(name)));
    expect(stored.length).toBeGreaterThan(100);
    for (const name of names.slice(300)) run.put(key(`${name} again`), image(1));
    expect(names.slice(300).filter((name) => run.get(key(name)))).toEqual(stored);
    expect(bytesOf('bounded')).toBeLessThanOrEqual(bytes);
  });

  it('notes the use of an entry, so that it stays', () => {
    const cache = open('used', 1e6, Date.now() - 1000);
    cache.put(key('a'), image(7));
    const [path] = entries('used');
    utimesSync(path, 1000, 1000);
    cache.get(key('a'));
    expect(statSync(path).mtimeMs).toBeGreaterThan(Date.now() - 60_000);
  });

  it('goes on without, and says why, where nothing can be written', () => {
    writeFileSync(at('file'), '');
    const cache = new ImageCache({ folder: at('file/images'), bytes: 1e6, since: 0 });
    expect(cache.get(key('a'))).toBe(null);
    expect(cache.fault).toBe(null);
    cache.put(key('a'), image(7));
    expect(cache.fault).toMatch(/^the cache of images is not filled any more: .*file\/images/);
    cache.put(key('b'), image(7));
    expect(cache.get(key('a'))).toBe(null);
  });

  it('sweeps what a killed process has left', () => {
    open('left').put(key('a'), image(7));
    const [path] = entries('left');
    const [old, young] = [`${path}.1-0.tmp`, `${path}.2-0.tmp`];
    writeFileSync(old, '');
    writeFileSync(young, '');
    utimesSync(old, 1000, 1000);
    open('left').put(key('a'), image(7));
    expect([existsSync(old), existsSync(young)]).toEqual([false, true]);
  });

  it('serves several processes at once', async () => {
    const module = new URL('../dist/data/image-cache.js', import.meta.url).href;
    const script = `
      const { ImageCache, keyOf } = await import(${JSON.stringify(module)});
      const settings = { folder: process.argv[1], bytes: 16 * 40 * 30_020, since: Date.now() };
      const cache = new ImageCache(settings);
      let wrong = 0;
      for (let n = 0; n < 900; n++) {
        const level = (n * 7) % 300;
        const file = { path: String(level), bytes: 1, modifiedMs: 1, changedMs: 1 };
        const key = keyOf(file, 'form');
        const found = cache.get(key);
        if (found && found.data.some((x) => x !== level % 256)) wrong++;
        const data = new Uint8Array(30_000).fill(level);
        cache.put(key, { width: 100, height: 100, channels: 3, data });
      }
      console.log(JSON.stringify([wrong, cache.fault]));`;
    const ended = Array.from({ length: 3 }, async () => {
      const args = ['--input-type=module', '--eval', script, at('shared')];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      let said = '';
      for await (const text of child.stdout) said += String(text);
      return said.trim();
    });
    expect(await Promise.all(ended)).toEqual(['[0,null]', '[0,null]', '[0,null]']);
    expect(entries('shared').filter((path) => path.endsWith('.tmp'))).toEqual([]);
    const cache = open('shared');
    for (const path of entries('shared')) expect(cache.get(path.slice(-32))).not.toBe(null);
    expect(entries('shared').length).toBeGreaterThan(250);
  });

  it('lies in the folder for caches of the user', () => {
    expect(userCache(5, { XDG_CACHE_HOME: '/x' })).toMatchObject({
      folder: join('/x', 'thimble', 'images'),
      bytes: 5,
    });
    expect(userCache(5, {})?.folder).toMatch(/\.cache.thimble.images$/);
    expect(userCache(false, {})).toBe(null);
  });
});

describe('a loader with a cache', () => {
  const paths: string[] = [];
  const preprocess = { ...defaultPreprocess, size: 48 };
  const settingsOf = (more: Partial<LoaderSettings>): LoaderSettings => ({
    source: {
      kind: 'folder',
      files: paths.map((path, label) => ({ path, name: path, label })),
    },
    ...{ purpose: 'train', batch: 3, seed: 4, preprocess, augment: augments.standard },
    ...{ cropSource: 'reduced', strict: true },
    ...more,
  });
  const cacheAt = (name: string) => ({ folder: at(name), bytes: 1e8, since: Date.now() });

  beforeAll(async () => {
    for (let index = 0; index < 6; index++) {
      paths.push(at(`${String(index)}.jpg`));
      await photo(index, 500 + 40 * index, 400)
        .jpeg()
        .toFile(paths[index]);
    }
  });

  async function epochs(settings: LoaderSettings, workers = 0): Promise<readonly unknown[]> {
    const loader = new Loader(settings, { workers });
    const found: unknown[] = [];
    for (const epoch of [0, 1]) {
      for await (const { images, labels, indices } of loader.epoch(epoch)) {
        found.push({ images: images.slice(), labels, indices });
      }
    }
    await loader.close();
    return found;
  }

  it.each([
    ['random crops', {}],
    ['no random crops', { augment: augments.flip }],
    ['evaluation', { purpose: 'evaluate' }],
    ['another cut', { purpose: 'evaluate', preprocess: { ...preprocess, resize: 'squash' } }],
    ['levels', { levels: true, augment: augments.none }],
  ] as const)('makes the same bits as without (%s)', async (name, more) => {
    const settings = settingsOf(more);
    const expected = await epochs(settings);
    const cached = { ...settings, cache: cacheAt(name) };
    expect(await epochs(cached)).toEqual(expected); // filled in the first epoch, read in the second
    expect(entries(name).length).toBe(6);
    expect(await epochs(cached, 2)).toEqual(expected); // read only, by two threads
    expect(entries(name).length).toBe(6);
  });

  it('reads what is kept', async () => {
    const settings = settingsOf({ augment: augments.none, batch: 6, cache: cacheAt('read') });
    const [before] = await epochs(settings);
    for (const path of entries('read')) {
      open('read').put(path.slice(-32), image(255, 48, 48));
    }
    const [white] = await epochs(settings);
    expect(white).not.toEqual(before);
    expect(white).toMatchObject({ images: new Float32Array(6 * 3 * 48 * 48).fill(1) });
  });

  it('keeps nothing of whole photos for crops, nor of small files', async () => {
    await epochs(settingsOf({ cropSource: 'whole', cache: cacheAt('whole') }));
    expect(existsSync(at('whole'))).toBe(false);
    const small = at('small.png');
    await photo(1, 20, 20).png().toFile(small);
    const source = { kind: 'folder', files: [{ path: small, name: 'x', label: 0 }] } as const;
    await epochs(settingsOf({ source, batch: 1, cache: cacheAt('small') }));
    expect(existsSync(at('small'))).toBe(false);
  });

  it('decodes a file that was replaced', async () => {
    const [path] = paths;
    const source = { kind: 'folder', files: [{ path, name: 'x', label: 0 }] } as const;
    const settings = settingsOf({ source, batch: 1, purpose: 'evaluate' });
    const cached = { ...settings, cache: cacheAt('replaced') };
    const before = await epochs(cached);
    const { atime, mtime } = statSync(path);
    const whole = readFileSync(path);
    await photo(77, 500, 400).jpeg().toFile(path);
    utimesSync(path, atime, mtime); // as a copy that keeps times
    expect(await epochs(cached)).toEqual(await epochs(settings));
    expect(await epochs(cached)).not.toEqual(before);
    writeFileSync(path, whole);
  });

  it('says once that it goes on without, and makes the same batches', async () => {
    mkdirSync(at('closed'));
    writeFileSync(at('closed/images'), '');
    chmodSync(at('closed'), 0o500);
    const notes = new Set<string>();
    const cache = { folder: at('closed/images'), bytes: 1e8, since: 0 };
    const settings = settingsOf({ augment: augments.none, cache });
    const loader = new Loader(settings, { onNote: (text) => notes.add(text) });
    const found: unknown[] = [];
    for await (const { images, labels, indices } of loader.epoch(0)) {
      found.push({ images: images.slice(), labels, indices });
    }
    expect([...notes]).toEqual([expect.stringContaining('the cache of images is not filled any')]);
    const without = settingsOf({ augment: augments.none });
    expect(found).toEqual((await epochs(without)).slice(0, 2));
  });
});

function changed(file: Buffer, place: number, bits: number): Buffer {
  const copy = Buffer.from(file);
  copy[place] ^= bits;
  return copy;
}
