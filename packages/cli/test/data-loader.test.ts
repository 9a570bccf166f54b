/**
 * The loader: the same batches for any number of workers, constant memory, bad images set aside.
 */
import {
  augmentInto,
  augmentRandom,
  augments,
  DataError,
  defaultPreprocess,
  preprocessInto,
  shapesClasses,
  shapesImage,
} from '@thimble/core';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { decodeImage } from '../src/data/decode.js';
import type { ImageFile } from '../src/data/folder.js';
import { Buffers, Loader, type FilledBatch, type LoaderSettings } from '../src/data/loader.js';
import { photo } from './image-files.js';

const preprocess = { ...defaultPreprocess, size: 16, cropPercentage: 1 };
const shapes: LoaderSettings = {
  source: { kind: 'shapes', seed: 5, count: 22 },
  purpose: 'train',
  batch: 4,
  seed: 9,
  preprocess,
  augment: augments.standard,
  strict: false,
};

let folder = '';
let files: ImageFile[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thimble-loader-'));
  files = await Promise.all(
    Array.from({ length: 7 }, async (_, i) => {
      const path = join(folder, `${i}.png`);
      const { width, height, data } = shapesImage(5, i).image;
      await sharp(data, { raw: { width, height, channels: 3 } })
        .png()
        .toFile(path);
      return { path, name: `${i}.png`, label: i % 3 };
    }),
  );
  writeFileSync(files[2].path, 'broken');
  writeFileSync(files[6].path, '');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The epoch's batches, copied because their arrays are used again. */
async function collect(loader: Loader, epoch: number): Promise<FilledBatch[]> {
  const batches: FilledBatch[] = [];
  for await (const { images, labels, indices, real } of loader.epoch(epoch)) {
    batches.push({
      images: images.slice(),
      labels,
      indices,
      real,
      skipped: [],
      changed: [],
      cacheFault: null,
    });
  }
  return batches;
}

describe('Loader', () => {
  it('makes the same pictures as levels, in a quarter of the bytes', async () => {
    const ends = [];
    for (const levels of [false, true]) {
      const loader = new Loader({ ...shapes, levels }, { workers: 1 });
      ends.push(await collect(loader, 0));
      await loader.close();
    }
    const [numbers, levels] = ends;
    // Mean and standard deviation are 1/2.
    const back = levels.map(({ images }) =>
      Float32Array.from(images, (level) => (level + 128) / 127.5 - 1),
    );
    expect(levels[0].images).toBeInstanceOf(Int8Array);
    numbers.forEach(({ images }, n) => {
      const off = Float32Array.from(images, (x, i) => Math.abs(x - back[n][i]));
      expect(Math.max(...off)).toBeLessThan(1e-6);
    });
  });

  it('cuts crops from reduced photos where that is asked for, evaluation never', async () => {
    const path = join(folder, 'large.jpg');
    await photo(4, 1200, 900).jpeg({ quality: 95 }).toFile(path);
    const large = { ...preprocess, size: 64 };
    const source = { kind: 'folder', files: [{ path, name: 'x', label: 0 }] } as const;
    const settings = { ...shapes, source, batch: 1, preprocess: large, augment: augments.light };
    const batchOf = async (more: Partial<LoaderSettings>) => {
      const loader = new Loader({ ...settings, ...more });
      const [{ images }] = await collect(loader, 3);
      await loader.close();
      return images;
    };
    const [whole, reduced] = [await decodeImage(path), await decodeImage(path, { leastSide: 105 })];
    expect([reduced.width, reduced.height]).toEqual([150, 113]);
    const random = () => augmentRandom(shapes.seed, 3, 0);
    const out = new Float32Array(3 * 64 * 64);
    augmentInto(whole, augments.light, large, random(), out);
    expect(await batchOf({})).toEqual(out);
    augmentInto(reduced, augments.light, large, random(), out);
    expect(await batchOf({ cropSource: 'reduced' })).toEqual(out);
    augmentInto(whole, augments.flip, large, random(), out); // sees all of it, as evaluation does
    expect(await batchOf({ cropSource: 'reduced', augment: augments.flip })).toEqual(out);
    preprocessInto(whole, large, out);
    expect(await batchOf({ cropSource: 'reduced', purpose: 'evaluate' })).toEqual(out);
  });

  it('makes the same batches with 0, 1 and 3 workers and any prefetch', async () => {
    const runs = [];
    for (const options of [{ workers: 0 }, { workers: 1 }, { workers: 3, prefetch: 4 }]) {
      const loader = new Loader(shapes, options);
      runs.push([await collect(loader, 0), await collect(loader, 1)]);
      await loader.close();
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).toEqual(runs[0]);
    const [first, second] = runs[0];
    expect(first).toHaveLength(5); // 22 images, batches of 4, the last two dropped
    expect(first[0].images).not.toEqual(second[0].images);
    const seen = first.flatMap((batch) => Array.from(batch.indices));
    expect(new Set(seen).size).toBe(20);
    for (const batch of first) {
      expect(Array.from(batch.labels)).toEqual(
        Array.from(batch.indices, (index) => index % shapesClasses.length),
      );
    }
  });

  it.each([1, 2])('uses %d buffers again and again', async (prefetch) => {
    const loader = new Loader(shapes, { workers: 0, prefetch });
    for (const taking of [true, false]) {
      const buffers = new Set<ArrayBufferLike>();
      for await (const batch of loader.epoch(0)) {
        buffers.add(batch.images.buffer);
        if (taking) batch.taken();
      }
      expect(buffers.size).toBe(prefetch);
    }
    await loader.close();
  });

  it('begins what comes next with the last batch, in the same buffers', async () => {
    const buffers = new Buffers();
    const training = new Loader(shapes, { buffers });
    const validation = new Loader({ ...shapes, purpose: 'evaluate' }, { buffers });
    const plain = new Loader(shapes);
    const used = new Set<ArrayBufferLike>();
    for (const epoch of [0, 1]) {
      const expected = await collect(plain, epoch);
      let begun = 0;
      const then = () => {
        begun++;
        validation.begin(0);
      };
      for await (const { images, indices, taken } of training.epoch(epoch, 0, then)) {
        const [at] = expected.splice(0, 1);
        expect([images, indices]).toEqual([at.images, at.indices]);
        used.add(images.buffer);
        expect(begun).toBe(0);
        taken();
        expect(begun).toBe(expected.length === 0 ? 1 : 0);
      }
      const next = () => {
        training.begin(epoch + 1);
      };
      for await (const { images, taken } of validation.epoch(0, 0, next)) {
        used.add(images.buffer);
        taken();
      }
    }
    expect(used.size).toBe(1);
    // Another epoch than the one begun, one that starts within, and the one that was begun.
    expect(await collect(training, 3)).toEqual(await collect(plain, 3));
    training.begin(4);
    const rest = training.epoch(4, 3);
    const { value } = await rest.next();
    expect(value?.indices).toEqual((await collect(plain, 4))[3].indices);
    await rest.return();
    training.begin(5);
    expect(await collect(training, 5)).toEqual(await collect(plain, 5));
    await Promise.all([training, validation, plain].map((loader) => loader.close()));
  });

  it('makes the next batch from when one is taken, and stops early', async () => {
    const loader = new Loader(shapes, { workers: 0 });
    const whole = await collect(loader, 0);
    const first: Float32Array[] = [];
    for await (const { images, taken } of loader.epoch(0)) {
      first.push(images);
      expect(images).toEqual(whole[0].images);
      taken();
      taken(); // once is enough
      await vi.waitFor(() => {
        expect(images).toEqual(whole[1].images);
      });
      break;
    }
    expect(await collect(loader, 0)).toEqual(whole);
    await loader.close();
  });

  it('fills training batches in spite of unreadable images and lists them once', async () => {
    const source = { kind: 'folder', files } as const;
    const loader = new Loader({ ...shapes, source, batch: 3 });
    const batches = [...(await collect(loader, 0)), ...(await collect(loader, 1))];
    await loader.close();
    expect(batches.map((batch) => batch.real)).toEqual([3, 3, 3, 3]);
    const seen = new Set(batches.flatMap((batch) => Array.from(batch.indices)));
    expect(seen.has(2) || seen.has(6)).toBe(false);
    expect(loader.skipped.map(({ index, name }) => [index, name])).toEqual([
      [2, files[2].path],
      [6, files[6].path],
    ]);
    expect(loader.skipped[0].reason).toMatch(/unsupported image format/);
  });

  it('leaves unreadable images out of evaluation and fills up with repeats', async () => {
    const settings = { ...shapes, source: { kind: 'folder', files }, purpose: 'evaluate' } as const;
    const loader = new Loader(settings);
    const [first, second] = await collect(loader, 0);
    await loader.close();
    expect([Array.from(first.indices), first.real]).toEqual([[0, 1, 3, 3], 3]);
    expect([Array.from(second.indices), second.real]).toEqual([[4, 5, 5, 5], 2]);
    expect(Array.from(second.labels)).toEqual([1, 2, 2, 2]);
    const size = 3 * 16 * 16;
    expect(second.images.slice(2 * size, 3 * size)).toEqual(second.images.slice(size, 2 * size));
    expect(loader.skipped).toHaveLength(2);
  });

  it.each([0, 1])(
    'stops at the first unreadable image when strict (%d workers)',
    async (workers) => {
      const source = { kind: 'folder', files } as const;
      const loader = new Loader({ ...shapes, source, strict: true, batch: 7 }, { workers });
      await expect(collect(loader, 0)).rejects.toThrow(DataError);
      await expect(collect(loader, 0)).rejects.toThrow(
        'expected a complete JPEG, PNG or WebP image',
      );
      await loader.close();
    },
  );

  it('says so when no image can be read', async () => {
    const source = { kind: 'folder', files: [files[2], files[6]] } as const;
    const loader = new Loader({ ...shapes, source, batch: 2 }, { workers: 0 });
    await expect(collect(loader, 0)).rejects.toThrow('got 2 unreadable ones');
    await loader.close();
  });

  it('refuses a training set smaller than one batch', () => {
    expect(() => new Loader({ ...shapes, batch: 23 })).toThrow('Lower the batch to 22 or less');
  });
});
