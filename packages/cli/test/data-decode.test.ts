/** Decoding: every colour space, orientation and kind of damage that photo folders hold. */
import { DataError } from '@thimble/core';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../src/data/decode.js';
import { MAX_PIXELS } from '../src/data/decoding.js';

const red = { r: 255, g: 0, b: 0 };

function flat(
  width: number,
  height: number,
  background: string | { r: number; g: number; b: number; alpha?: number },
  channels: 3 | 4 = 3,
) {
  return sharp({ create: { width, height, channels, background } });
}

/** Left half red, right half blue, 64 × 32. */
function halves() {
  return flat(64, 32, red).composite([
    {
      input: { create: { width: 32, height: 32, channels: 3, background: '#00f' } },
      left: 32,
      top: 0,
    },
  ]);
}

const noisy = () => {
  const data = new Uint8Array(200 * 150 * 3);
  for (let i = 0; i < data.length; i++) data[i] = (i * i * 31) % 253;
  return sharp(data, { raw: { width: 200, height: 150, channels: 3 } });
};

describe('decodeImage', () => {
  it('gives the pixels of a lossless file as they are', async () => {
    const data = Uint8Array.from({ length: 5 * 4 * 3 }, (_, i) => (i * 41) % 256);
    const raw = { width: 5, height: 4, channels: 3 } as const;
    for (const file of [
      sharp(data, { raw }).png(),
      sharp(data, { raw }).webp({ lossless: true }),
    ]) {
      const image = await decodeImage(await file.toBuffer());
      expect(image).toMatchObject(raw);
      expect(Array.from(image.data)).toEqual(Array.from(data));
    }
  });

  it('turns a picture upright by its EXIF orientation', async () => {
    const turned = halves().withMetadata({ orientation: 6 }); // a quarter clockwise
    const jpeg = await turned.jpeg().toBuffer();
    const image = await decodeImage(jpeg);
    expect([image.width, image.height]).toEqual([32, 64]);
    const pixel = (x: number, y: number) =>
      Array.from(image.data.slice((y * 32 + x) * 3).slice(0, 3));
    expect(pixel(16, 5)[0]).toBeGreaterThan(200); // the left half is now above
    expect(pixel(16, 58)[2]).toBeGreaterThan(200);
  });

  it('lays transparency on white', async () => {
    const png = await flat(3, 3, { ...red, alpha: 0.5 }, 4)
      .png()
      .toBuffer();
    const [r, g, b] = (await decodeImage(png)).data;
    expect(r).toBe(255);
    expect(Math.abs(g - 127.5)).toBeLessThan(2);
    expect(g).toBe(b);
  });

  // CMYK goes through libvips' own profile and back, which darkens.
  it.each([
    ['8-bit grey', () => flat(3, 2, '#808080').toColourspace('b-w').png(), 128],
    ['16-bit grey', () => flat(3, 2, '#808080').toColourspace('grey16').png(), 128],
    ['16-bit colour', () => flat(3, 2, '#808080').toColourspace('rgb16').png(), 128],
    ['CMYK', () => flat(3, 2, '#808080').toColourspace('cmyk').jpeg(), 116],
    ['a palette', () => flat(3, 2, '#808080').png({ palette: true }), 128],
  ])('converts %s to 8-bit sRGB', async (_, file, level) => {
    const image = await decodeImage(await file().toBuffer());
    expect(image.data).toHaveLength(3 * 2 * 3);
    for (const got of image.data) expect(Math.abs(got - level)).toBeLessThanOrEqual(6);
  });

  it.each(['jpeg', 'png', 'webp'] as const)('refuses a truncated %s', async (format) => {
    const whole = await noisy().toFormat(format).toBuffer();
    await expect(decodeImage(whole.subarray(0, whole.length * 0.6))).rejects.toThrow(DataError);
    await expect(decodeImage(whole)).resolves.toMatchObject({ width: 200 });
  });

  it('refuses what is no image, and says which file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'thimble-decode-'));
    const path = join(folder, 'notes.jpg');
    writeFileSync(path, 'these are not pixels');
    await expect(decodeImage(path)).rejects.toThrow(`${path}: expected a complete JPEG`);
    await expect(decodeImage(join(folder, 'gone.jpg'))).rejects.toThrow(DataError);
    writeFileSync(path, '');
    await expect(decodeImage(path)).rejects.toThrow(DataError);
    rmSync(folder, { recursive: true });
  });

  it('refuses a small file that unpacks to more than the limit', async () => {
    const side = Math.ceil(Math.sqrt(MAX_PIXELS)) + 1;
    const header = await flat(1, 1, red).png().toBuffer();
    header.writeUInt32BE(side, 16); // width and height in the IHDR chunk, then its checksum
    header.writeUInt32BE(side, 20);
    header.writeUInt32BE(crc32(header.subarray(12, 29)), 29);
    await expect(decodeImage(header)).rejects.toThrow(/pixel limit/);
  });
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
