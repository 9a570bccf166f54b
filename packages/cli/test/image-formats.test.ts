/** Image files by their content: what is unusual but whole, what costs more than it shows, what is none. */
import { DataError } from '@thimble/core';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../src/data/decode.js';
import {
  examine,
  pngChunk,
  photo,
  scanAt,
  segment,
  segmentAt,
  withRestarts,
} from './image-files.js';

const END = Buffer.from([0xff, 0xd9]);

describe('whole JPEG files', () => {
  it('has restart markers in their order, with a few bytes before them or none', async () => {
    const file = await withRestarts(12);
    expect(await decodeImage(file)).toMatchObject({ width: 8, height: 96 });
    const at = file.lastIndexOf(Buffer.from([0xff, 0xd2]));
    const stray = Buffer.concat([file.subarray(0, at), Buffer.alloc(6, 1), file.subarray(at)]);
    expect(() => examine(stray)).not.toThrow(); // as cameras leave them
    const many = Buffer.concat([file.subarray(0, at), Buffer.alloc(80, 1), file.subarray(at)]);
    expect(() => examine(many)).toThrow('more data than there are blocks for');
    file[at + 1] = 0xd5;
    expect(() => examine(file)).toThrow('marker d5 where restart marker 2 belongs');
  });

  it('may have each component in a scan of its own', async () => {
    const file = await inOwnScans(3);
    expect(() => examine(file)).not.toThrow();
    expect(await decodeImage(file)).toMatchObject({ width: 8, height: 8 });
    const two = await inOwnScans(2);
    expect(() => examine(two)).toThrow('a JPEG file without its colour 3');
  });

  it('may lack tables, as Motion JPEG does', async () => {
    const file = await photo(1).jpeg({ optimiseCoding: false }).toBuffer();
    const parts = [file.subarray(0, segmentAt(file, 0xc4)), file.subarray(segmentAt(file, 0xda))];
    const image = await decodeImage(Buffer.concat(parts));
    expect(image).toEqual(await decodeImage(file));
  });

  it('may be of one colour, whose data is all zeros', async () => {
    const flat = sharp({ create: { width: 800, height: 600, channels: 3, background: '#888' } });
    const file = await flat.jpeg({ mozjpeg: true, progressive: false }).toBuffer();
    expect(file.indexOf(new Uint8Array(500))).toBeGreaterThan(0);
    expect(() => examine(file)).not.toThrow();
  });

  it('may have zeros behind its end, but not where zero bits are coefficients', async () => {
    const file = await photo(1).jpeg({ optimiseCoding: false }).toBuffer();
    expect(() => examine(Buffer.concat([file, new Uint8Array(70_000)]))).not.toThrow();
    const at = (scanAt(file) + file.length) >> 1;
    expect(() => examine(file.fill(0, at, at + 64))).toThrow(/damaged image data/);
  });

  it('may have anything behind its end, and fill bytes before markers', async () => {
    const file = await photo(1).jpeg().toBuffer();
    expect(() => examine(Buffer.concat([file, Buffer.alloc(5000, 3)]))).not.toThrow();
    const at = segmentAt(file, 0xda);
    const filled = Buffer.concat([
      file.subarray(0, at),
      Buffer.alloc(999, 0xff),
      file.subarray(at),
    ]);
    expect(await decodeImage(filled)).toEqual(await decodeImage(file));
  });
});

/** A colour JPEG of 8 × 8 pixels that has `scans` scans of a component each. */
async function inOwnScans(scans: number): Promise<Buffer> {
  const one = await photo(1, 8, 8).toColourspace('b-w').jpeg().toBuffer();
  const [frame, scan] = [segmentAt(one, 0xc0), segmentAt(one, 0xda)];
  const components = [1, 2, 3].flatMap((id) => [id, 0x11, 0]);
  const data = one.subarray(scanAt(one), -2);
  const own = Array.from({ length: scans }, (_, index) => [
    segment(0xda, Uint8Array.of(1, index + 1, 0, 0, 63, 0)),
    data,
  ]);
  return Buffer.concat([
    one.subarray(0, frame),
    segment(0xc0, Uint8Array.of(8, 0, 8, 0, 8, 3, ...components)),
    one.subarray(frame + 2 + one.readUInt16BE(frame + 2), scan),
    ...own.flat(),
    END,
  ]);
}

describe('JPEG files with codes of their own', () => {
  /** Tables of the single code 0 for symbol 0, and data that begins with a mean and goes on with `bits`. */
  const coded = async (bits: number) => {
    const one = await photo(1, 8, 8).toColourspace('b-w').jpeg().toBuffer();
    const table = (number: number) => [number, 1, ...Array.from({ length: 15 }, () => 0), 0];
    return Buffer.concat([
      one.subarray(0, segmentAt(one, 0xda)),
      segment(0xc4, Uint8Array.of(...table(0x00), ...table(0x10))),
      one.subarray(segmentAt(one, 0xda), scanAt(one)),
      Buffer.of(bits),
      END,
    ]);
  };

  it('takes those that there are', async () => {
    const grey = await decodeImage(await coded(0b00111111));
    expect(new Set(grey.data)).toEqual(new Set([128]));
  });

  it('refuses bits that are none', async () => {
    const file = await coded(0b01111111);
    expect(() => examine(file)).toThrow('bits that are no code');
  });
});

describe('files that cost more than they show', () => {
  it('refuses a progressive JPEG of very many scans', async () => {
    const flat = sharp({ create: { width: 4096, height: 4096, channels: 3, background: '#888' } });
    const file = await flat.toColourspace('b-w').jpeg({ progressive: true }).toBuffer();
    const last = file.lastIndexOf(Buffer.from([0xff, 0xda]));
    const again = file.subarray(last, -2);
    const scans = Array.from({ length: 150 }, () => again);
    const bomb = Buffer.concat([file.subarray(0, -2), ...scans, END]);
    await expect(decodeImage(bomb)).rejects.toThrow('a JPEG file whose scans go over more than');
    await expect(decodeImage(file)).resolves.toMatchObject({ width: 4096 });
  });

  it.each(['zTXt', 'iTXt'])('refuses texts that unpack to very much (%s)', async (name) => {
    const file = await photo(1, 8, 8).png().toBuffer();
    const flags = name === 'zTXt' ? '\0' : '\x01\0\0\0';
    const texts = Array.from({ length: 8 }, (_, index) =>
      pngChunk(name, Buffer.from(`key ${String(index)}\0${flags}`), Buffer.alloc(7e6, 'a')),
    );
    const bomb = Buffer.concat([file.subarray(0, 33), ...texts, file.subarray(33)]);
    expect(bomb.length).toBeLessThan(100_000);
    await expect(decodeImage(bomb)).rejects.toThrow('more than 50 MB beside its image');
    const few = Buffer.concat([file.subarray(0, 33), texts[0], file.subarray(33)]);
    await expect(decodeImage(few)).resolves.toEqual(await decodeImage(file));
  });

  it('refuses a JPEG of very many segments', async () => {
    const file = await photo(1, 8, 8).jpeg().toBuffer();
    const comment = segment(0xfe, Buffer.alloc(65_000));
    const comments = Array.from({ length: 800 }, () => comment);
    const bomb = Buffer.concat([file.subarray(0, 2), ...comments, file.subarray(2)]);
    await expect(decodeImage(bomb)).rejects.toThrow('more than 50 MB beside its image');
  });
});

describe('files that are none of the three', () => {
  it.each([
    ['GIF89a', 'a GIF image'],
    ['\0\0\0\x1cftypheic', 'a HEIC image'],
    ['\0\0\0\x1cftypavif', 'an AVIF image'],
    ['II*\0', 'a TIFF or raw image'],
    [
      '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
      'an SVG drawing or other XML',
    ],
    ['<!DOCTYPE html>', 'a web page'],
    ['%PDF-1.7', 'a PDF document'],
    ['\0'.repeat(100), 'a file of zeros'],
    ['notes', 'an unsupported image format, beginning with the bytes 6e 6f 74 65 73'],
    ['', 'an empty file'],
  ])('says what %j is', async (text, what) => {
    const refused = decodeImage(Buffer.from(text, 'latin1'));
    await expect(refused).rejects.toThrow(DataError);
    await expect(refused).rejects.toThrow(`got ${what}. `);
  });

  it('never lets libvips try another format', async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    await expect(sharp(svg).png().toBuffer()).rejects.toThrow('unsupported image format');
    await expect(
      sharp(await photo(1).tiff().toBuffer())
        .png()
        .toBuffer(),
    ).rejects.toThrow();
  });
});
