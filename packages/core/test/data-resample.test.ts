/** Resizing against Pillow (reference/resample.py wrote the fixture), and its own properties. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { rawImage, type RawImage } from '../src/data/image.js';
import { resize, type ResampleFilter } from '../src/data/resample.js';
import { ConfigError, DataError } from '../src/errors.js';

interface Case {
  readonly filter: ResampleFilter;
  readonly source: [number, number];
  readonly target: [number, number];
  readonly box: [number, number, number, number] | null;
  readonly rgb: string;
}

const filters: readonly ResampleFilter[] = ['nearest', 'box', 'bilinear', 'bicubic', 'lanczos'];
const fixture = new URL('../../../reference/fixtures/resample.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(fixture, 'utf8')) as { cases: Case[] };

/** The formula of reference/resample.py. */
function picture(width: number, height: number): RawImage {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const noise = ((x * 37) ^ (y * 91)) % 61;
      for (let c = 0; c < 3; c++) data[at++] = x * x * 7 + y * 13 + x * y * 3 + c * 85 + noise;
    }
  }
  return rawImage(width, height, data);
}

const rectangle = ([left, top, right, bottom]: [number, number, number, number]) => ({
  x: left,
  y: top,
  width: right - left,
  height: bottom - top,
});

describe('resize', () => {
  it.each(
    cases.map((c) => [`${c.filter} ${JSON.stringify([c.source, c.target, c.box])}`, c] as const),
  )('gives the same levels as Pillow: %s', (_, { filter, source, target, box, rgb }) => {
    const options = box === null ? {} : { box: rectangle(box) };
    const out = resize(picture(...source), ...target, filter, options);
    expect([out.width, out.height]).toEqual(target);
    expect(Array.from(out.data)).toEqual(Array.from(Buffer.from(rgb, 'base64')));
  });

  it.each(filters)('computes a window equal to the crop of the whole (%s)', (filter) => {
    const image = picture(45, 33);
    const whole = resize(image, 20, 27, filter);
    const window = { x: 5, y: 3, width: 9, height: 13 };
    const part = resize(image, 20, 27, filter, { window });
    for (let y = 0; y < window.height; y++) {
      const from = ((y + window.y) * 20 + window.x) * 3;
      expect(part.data.slice(y * 27, (y + 1) * 27)).toEqual(whole.data.slice(from, from + 27));
    }
  });

  it.each(filters)('leaves a picture of the same size and a flat picture alone (%s)', (filter) => {
    const image = picture(8, 7);
    expect(Array.from(resize(image, 8, 7, filter).data)).toEqual(Array.from(image.data));
    const flat = rawImage(9, 5, new Uint8Array(9 * 5 * 3).fill(203));
    expect(resize(flat, 17, 3, filter).data.every((level) => level === 203)).toBe(true);
  });

  it('refuses a box outside the picture and data of the wrong length', () => {
    const box = { x: 4, y: 0, width: 5, height: 7 };
    expect(() => resize(picture(8, 7), 2, 2, 'bicubic', { box })).toThrow(
      new ConfigError({
        where: 'resize box',
        expected: 'a rectangle inside 8 × 7',
        got: '5 × 7 at (4, 0)',
        todo: 'Clip the rectangle to the picture first',
      }),
    );
    expect(() => rawImage(2, 2, new Uint8Array(11))).toThrow(DataError);
  });
});
