/**
 * Whether an exported preprocessor_config.json prepares pictures as the model was trained: as we read it back, and
 * as transformers.js does.
 */
import { AutoImageProcessor, env, RawImage as TheirImage } from '@huggingface/transformers';
import {
  centredDown,
  cutOf,
  defaultPreprocess,
  InternalError,
  modelConfig,
  preprocessInto,
  preprocessorConfig,
  type Preprocess,
} from '@thimble/core';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeImage } from '../src/data/decode.js';
import { testPictures } from '../src/export/pictures.js';
import { preparationOf } from '../src/export/preparation.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-preparation-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A folder with the exported file. */
function exported(name: string, preprocess: Preprocess, changes: object = {}): string {
  mkdirSync(join(folder, name), { recursive: true });
  const config = { ...modelConfig('vit-micro'), imageSize: preprocess.size };
  const file = join(folder, name, 'preprocessor_config.json');
  const text = JSON.stringify({ ...preprocessorConfig(config, preprocess), ...changes });
  writeFileSync(file, text);
  return file;
}

const OLD: Preprocess = { ...defaultPreprocess, size: 64 };
const WAYS: Readonly<Record<string, Preprocess>> = {
  'timm, 64 px': OLD,
  'no crop': { ...OLD, cropPercentage: 1 },
  'an even rest': { ...OLD, size: 63, edge: 71 },
  'an odd rest': { ...OLD, edge: 73, filter: 'bilinear' },
  squash: { ...OLD, resize: 'squash', mean: [0.1, 0.2, 0.3], std: [0.3, 0.2, 0.1] },
  'squash and crop': { ...OLD, size: 63, resize: 'squash', edge: 72, filter: 'lanczos' },
};

describe('test pictures', () => {
  it('have every remainder of half a pixel on either side, and both proportions', async () => {
    for (const [name, preprocess] of Object.entries(WAYS)) {
      const pictures = await testPictures(preprocess);
      expect(pictures).toHaveLength(8);
      expect(pictures.filter(({ width, height }) => width > height).length).toBeGreaterThan(2);
      expect(pictures.filter(({ width, height }) => width < height).length).toBeGreaterThan(1);
      if (preprocess.resize === 'squash') continue;
      const rests = pictures.map((picture) => {
        const { width, height } = cutOf(picture, preprocess);
        return (Math.max(width, height) - preprocess.size) % 4;
      });
      expect(new Set(rests), name).toEqual(new Set([0, 1, 2, 3]));
    }
  });
});

describe('preparation', () => {
  it.each(Object.keys(WAYS))('is that of a run that trains now: %s', async (name) => {
    const run = centredDown(WAYS[name]);
    const found = await preparationOf(run, exported('exact', run));
    expect(found).toMatchObject({ count: 8, aside: 0 });
    expect(found.exported).toEqual(found.own);
    expect(found.own.every(Number.isFinite)).toBe(true);
  });

  it.each([
    ['timm, 64 px', 8], // 3.5 of 71 − 64 on the shortest edge
    ['no crop', 1],
    ['an even rest', 1], // 5.5 of 74 − 63
    ['an odd rest', 2], // 5.5 of 75 − 64, 23.5 of 111 − 64
    ['squash', 0],
    ['squash and crop', 0],
  ])('of an earlier run says which pictures are a pixel aside: %s', async (name, aside) => {
    const found = await preparationOf(WAYS[name], exported('earlier', WAYS[name]));
    expect(found.aside).toBe(aside);
    const same = found.exported?.every((value, index) => value === found.own[index]);
    expect(same).toBe(aside === 0);
  });

  it('needs no file', async () => {
    expect(await preparationOf(OLD, null)).toMatchObject({ count: 8, exported: null, aside: 0 });
  });

  it.each([
    { resample: 2 },
    { image_mean: [0.5, 0.5, 0.501] },
    { rescale_factor: 1 / 256 },
    { size: { shortest_edge: 72 } },
    { crop_size: { height: 63, width: 63 } },
    { image_processor_type: 'DeiTImageProcessor', size: { height: 71, width: 71 } },
  ])('refuses a file that says another: %o', async (changes) => {
    const run = centredDown(OLD);
    const file = exported('another', run, changes);
    await expect(preparationOf(run, file)).rejects.toThrow(InternalError);
    await expect(preparationOf(run, file)).rejects.toThrow(`${file}: expected the preparation of`);
  });
});

describe('in transformers.js', () => {
  /** Pixels of a file, through its own decoder and processor. */
  async function theirs(preprocess: Preprocess, file: string): Promise<Float32Array> {
    exported('model', preprocess);
    env.allowRemoteModels = false;
    env.localModelPath = folder;
    const processor = await AutoImageProcessor.from_pretrained('model');
    const { pixel_values: pixels } = (await processor(await TheirImage.read(file))) as {
      readonly pixel_values: { readonly data: Float32Array; readonly dims: readonly number[] };
    };
    expect(pixels.dims).toEqual([1, 3, preprocess.size, preprocess.size]);
    return pixels.data;
  }

  async function difference(preprocess: Preprocess, file: string): Promise<number> {
    const ours = new Float32Array(3 * preprocess.size ** 2);
    preprocessInto(await decodeImage(file), preprocess, ours);
    const levels = (await theirs(preprocess, file)).map((value, index) => {
      const std = preprocess.std[Math.floor(index / preprocess.size ** 2)];
      return Math.abs(value - ours[index]) * 255 * std;
    });
    return levels.reduce((most, value) => (value <= most ? most : value), 0); // NaN stays
  }

  /** A picture with edges everywhere, as a file. */
  async function file(width: number, height: number, change: (image: Sharp) => Sharp) {
    const data = Uint8Array.from(
      { length: 3 * width * height },
      (_, i) => (i * i * 31 + 7 * i) % 251,
    );
    const path = join(folder, 'picture.png');
    await change(sharp(data, { raw: { width, height, channels: 3 } })).toFile(path);
    return path;
  }

  it.each([
    [71, 71],
    [71, 98],
    [71, 99],
    [71, 100],
    [101, 71],
    [102, 71],
    [103, 71],
    [104, 71],
  ])('a picture of %d × %d is cut at the same pixel', async (width, height) => {
    const path = await file(width, height, (image) => image);
    expect(await difference(centredDown(OLD), path)).toBeLessThan(1e-4);
    expect(await difference(OLD, path)).toBeGreaterThan(10); // the rounding of earlier runs
  });

  it('grey pictures and such that are turned by EXIF are the same', async () => {
    const grey = await file(71, 99, (image) => image.toColourspace('b-w'));
    expect(await difference(centredDown(OLD), grey)).toBeLessThan(1e-4);
    const turned = await file(99, 71, (image) => image.withMetadata({ orientation: 6 }));
    expect(await decodeImage(turned)).toMatchObject({ width: 71, height: 99 });
    expect(await difference(centredDown(OLD), turned)).toBeLessThan(1e-4);
  });

  it('a photo that is reduced by lanczos is the same within a few levels', async () => {
    const smooth = await file(301, 203, (image) => image.blur(3));
    const lanczos = centredDown({ ...OLD, filter: 'lanczos' });
    expect(await difference(lanczos, smooth)).toBeLessThan(4);
  });
});
