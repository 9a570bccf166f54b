/**
 * Damaged image files are refused, whole ones are not: every kind of damage with how much of it is found.
 *
 * By itself libvips takes all of the JPEG files below but those that are cut off, and fills up with grey.
 */
import { DataError, Random } from '@thimble/core';
import type { Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../src/data/decode.js';
import { photo, scanAt } from './image-files.js';

const PHOTOS = 6;

type Encoder = (image: Sharp) => Sharp;
type Format = 'JPEG' | 'PNG' | 'WebP' | 'lossless WebP';

const ENCODERS: readonly (readonly [name: string, format: Format, encoder: Encoder])[] = [
  ['a JPEG', 'JPEG', (image) => image.jpeg()],
  ['a fine JPEG', 'JPEG', (image) => image.jpeg({ chromaSubsampling: '4:4:4', quality: 95 })],
  ['a progressive JPEG', 'JPEG', (image) => image.jpeg({ progressive: true })],
  ['a JPEG of mozjpeg', 'JPEG', (image) => image.jpeg({ mozjpeg: true, quality: 60 })],
  ['a JPEG with standard tables', 'JPEG', (image) => image.jpeg({ optimiseCoding: false })],
  ['a grey JPEG', 'JPEG', (image) => image.toColourspace('b-w').jpeg()],
  ['a CMYK JPEG', 'JPEG', (image) => image.toColourspace('cmyk').jpeg()],
  ['a PNG', 'PNG', (image) => image.png()],
  ['an interlaced PNG', 'PNG', (image) => image.png({ progressive: true })],
  ['a PNG with a palette', 'PNG', (image) => image.png({ palette: true })],
  ['a 16-bit PNG', 'PNG', (image) => image.ensureAlpha(0.5).toColourspace('rgb16').png()],
  ['a WebP', 'WebP', (image) => image.webp()],
  ['a WebP with alpha', 'WebP', (image) => image.ensureAlpha(0.5).webp()],
  ['a lossless WebP', 'lossless WebP', (image) => image.webp({ lossless: true, effort: 0 })],
];

/** Changes a file, whose header ends before `start`; random numbers where it needs them. */
type Damage = (file: Buffer, start: number, random: Random) => Buffer;

const middle = (file: Buffer, start: number) => start + ((file.length - start) >> 1);

const DAMAGE = {
  'cut off in the middle': (file, start) => file.subarray(0, middle(file, start)),
  'cut off by a byte': (file) => file.subarray(0, -1),
  'cut off by two bytes': (file) => file.subarray(0, -2),
  'zeros in the second half': (file, start) => file.fill(0, middle(file, start), file.length - 2),
  '512 zeros': (file, start) => file.fill(0, middle(file, start), middle(file, start) + 512),
  '64 zeros': (file, start) => file.fill(0, middle(file, start), middle(file, start) + 64),
  'random bytes in the second half': (file, start, random) => {
    for (let at = middle(file, start); at < file.length - 2; at++) file[at] = random.below(255);
    return file;
  },
  'FF in the second half': (file, start) => file.fill(255, middle(file, start), file.length - 2),
  'a lost block': (file, start) =>
    Buffer.concat([file.subarray(0, start + 512), file.subarray(start + 1024)]),
  'a block twice': (file, start) =>
    Buffer.concat([file.subarray(0, start + 1024), file.subarray(start + 512)]),
  'a changed bit': (file, start, random) => {
    file[start + random.below(file.length - start - 2)] ^= 1 << random.below(8);
    return file;
  },
} satisfies Readonly<Record<string, Damage>>;

type DamageName = keyof typeof DAMAGE;
const DAMAGES = Object.keys(DAMAGE) as DamageName[];

/** Where the coded pixels begin. */
function dataAt(file: Buffer): number {
  if (file[0] === 0xff) return scanAt(file);
  return file.indexOf('IDAT') >= 0 ? file.indexOf('IDAT') + 4 : 48;
}

async function filesOf(encoder: Encoder): Promise<readonly Buffer[]> {
  return Promise.all(Array.from({ length: PHOTOS }, (_, seed) => encoder(photo(seed)).toBuffer()));
}

async function isRefused(file: Buffer): Promise<boolean> {
  try {
    await decodeImage(file);
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(DataError);
    return true;
  }
}

/**
 * How many of PHOTOS damaged files of an encoder must be refused. PNG has checksums. In JPEG a changed bit often
 * is another picture that could have been meant; WebP has nothing but its lengths and the zeros.
 */
const ALL = { JPEG: PHOTOS, PNG: PHOTOS, WebP: PHOTOS, 'lossless WebP': PHOTOS };
const FOUND: { readonly [D in DamageName]: Readonly<Record<Format, number>> } = {
  'cut off in the middle': ALL,
  'cut off by a byte': ALL,
  'cut off by two bytes': ALL,
  'zeros in the second half': ALL,
  '512 zeros': { ...ALL, 'lossless WebP': 0 },
  '64 zeros': { JPEG: 5, PNG: PHOTOS, WebP: 0, 'lossless WebP': 0 },
  'random bytes in the second half': { ...ALL, WebP: 5, 'lossless WebP': 0 },
  'FF in the second half': ALL,
  'a lost block': ALL,
  'a block twice': { ...ALL, WebP: 4, 'lossless WebP': 2 },
  'a changed bit': { JPEG: 1, PNG: PHOTOS, WebP: 4, 'lossless WebP': 0 },
};

describe('image files', () => {
  it.each(ENCODERS)('%s passes whole, and not with a damage', async (_, format, encoder) => {
    const files = await filesOf(encoder);
    for (const file of files) expect(await isRefused(file)).toBe(false);
    for (const name of DAMAGES) {
      const refused = files.map((file, seed) =>
        isRefused(DAMAGE[name](Buffer.from(file), dataAt(file), Random.of(seed, name))),
      );
      const count = (await Promise.all(refused)).filter(Boolean).length;
      expect(count, name).toBeGreaterThanOrEqual(FOUND[name][format]);
    }
  });
});
