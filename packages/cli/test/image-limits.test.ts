/** What decoding takes at most, known from the header: limits, halving, special files, time. */
import { DataError, shapesImage } from '@thimble/core';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeImage } from '../src/data/decode.js';
import { DECODE_BYTES, decodingOf, FULL_PIXELS, MAX_PIXELS } from '../src/data/decoding.js';
import { bytesSource, ImageBytes, type ImageHeader } from '../src/data/formats/index.js';
import { largestReading, lookAt } from '../src/data/image-file.js';
import { turned } from '../src/data/turned.js';
import { photo } from './image-files.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-limits-'));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The header of a photo of a phone. */
const JPEG: ImageHeader = {
  kind: 'a JPEG',
  width: 4000,
  height: 3000,
  pixelBytes: 3,
  frameBytes: 0,
  wholeBytes: 0,
  metadataBytes: 50_000,
  halvingsLeft: 1,
};
const decodingFor = (header: Partial<ImageHeader>) =>
  decodingOf({ ...JPEG, ...header }, new ImageBytes('photo', bytesSource(new Uint8Array(0))));

describe('decodingOf', () => {
  it('halves what has more pixels than are decoded as they are', () => {
    expect(decodingFor({})).toMatchObject({ halvings: 0, width: 4000, height: 3000 });
    expect(decodingFor({ width: 4096, height: 4096 })).toMatchObject({ halvings: 0 });
    expect(decodingFor({ width: 4097, height: 4096 })).toMatchObject({ halvings: 1, width: 2049 });
    const largest = decodingFor({ width: 12_000, height: 9000 });
    expect(largest).toMatchObject({ halvings: 2, width: 3000, height: 2250 });
  });

  it('halves what takes too much, and refuses what takes too much all the same', () => {
    const whole = { kind: 'a progressive JPEG', width: 4000, height: 4000, wholeBytes: 150e6 };
    expect(decodingFor({ ...whole, pixelBytes: 4 }).halvings).toBe(1);
    expect(() => decodingFor({ ...whole, wholeBytes: 300e6 })).toThrow(
      /photo: .*got a progressive JPEG of 4000 × 4000 pixels, which takes 3\d\d\.\d MB to decode, at most 268\.4 MB\. Make it smaller/,
    );
  });

  it('reduces on as long as the shortest side has as many pixels as suffice', () => {
    const empty = () => new ImageBytes('photo', bytesSource(new Uint8Array(0)));
    const sides = (leastSide: number, header: Partial<ImageHeader> = {}) => {
      const { width, height } = decodingOf({ ...JPEG, ...header }, empty(), leastSide);
      return [width, height];
    };
    expect(sides(366)).toEqual([500, 375]); // light at 224 px
    expect(sides(518)).toEqual([1000, 750]); // standard
    expect(sides(53)).toEqual([125, 94]); // light at 32 px, beyond what decoders halve
    expect(sides(53, { width: 3000, height: 4000 })).toEqual([94, 125]);
    expect(sides(375)).toEqual([500, 375]);
    expect(sides(376)).toEqual([1000, 750]);
    expect(sides(3001)).toEqual([4000, 3000]);
    expect(sides(3001, { width: 12_000, height: 9000 })).toEqual([3000, 2250]); // as large as is read
    expect(sides(1)).toEqual([63, 47]);
  });

  it('says the numbers of what is too large', () => {
    expect(() => decodingFor({ width: 20_000, height: 20_000 })).toThrow(
      'got a JPEG of 20000 × 20000 pixels: 400.0 megapixels, above the pixel limit of 268.4. Make it',
    );
    expect(() => decodingFor({ width: 1e8, height: 1 })).toThrow('where a side has at most 65535');
  });

  it('never takes more than the limit, whatever a header says', () => {
    for (const width of [1, 300, 4096, 16_384, 65_535]) {
      for (const wholeOfPixel of [0, 2, 8]) {
        for (const pixelBytes of [1, 3, 8]) {
          for (const halvingsLeft of [0, 1, Infinity]) {
            const height = Math.floor(Math.min(MAX_PIXELS / width, 65_535));
            const wholeBytes = wholeOfPixel * width * height;
            const shape = { width, height, pixelBytes, wholeBytes, halvingsLeft, frameBytes: 8 };
            let taken = 0;
            try {
              const { bytes, ...result } = decodingFor(shape);
              taken = bytes;
              expect(result.width * result.height).toBeLessThanOrEqual(FULL_PIXELS);
            } catch (error) {
              expect(error).toBeInstanceOf(DataError);
            }
            expect(taken).toBeLessThanOrEqual(DECODE_BYTES);
          }
        }
      }
    }
  });
});

describe('large images', () => {
  it.each(['jpeg', 'png', 'webp'] as const)('are halved and turned (%s)', async (format) => {
    // Red on the left, green on the right, to be turned clockwise.
    const half = { width: 3000, height: 2900, channels: 3, background: '#f00' } as const;
    const file = await sharp({ create: half })
      .extend({ right: 3001, background: '#0f0' })
      .withMetadata({ orientation: 6 })
      .toFormat(format, format === 'webp' ? { effort: 0 } : {})
      .toBuffer();
    const { width, height, data } = await decodeImage(file);
    expect([width, height]).toEqual([1450, 3001]);
    const first = Array.from(data.subarray(0, 3));
    const last = Array.from(data.subarray(-3));
    expect(Math.abs(first[0] - 255) + first[1] + first[2]).toBeLessThan(12);
    expect(last[0] + Math.abs(last[1] - 255) + last[2]).toBeLessThan(12);
  });

  it.each(['jpeg', 'png', 'webp'] as const)('are reduced to what suffices (%s)', async (format) => {
    const file = await photo(3, 1600, 1200).toFormat(format).toBuffer();
    const whole = await decodeImage(file);
    const small = await decodeImage(file, { leastSide: 250 });
    expect([small.width, small.height]).toEqual([400, 300]);
    // Means of 4 × 4 pixels, but for what decoders round and what their filters weigh otherwise.
    let off = 0;
    for (let at = 0; at < small.data.length; at++) {
      const [x, y] = [Math.floor(at / 3) % 400, Math.floor(at / 1200)];
      let sum = 0;
      for (let row = 4 * y; row < 4 * y + 4; row++) {
        for (let column = 4 * x; column < 4 * x + 4; column++) {
          sum += whole.data[3 * (1600 * row + column) + (at % 3)];
        }
      }
      off += Math.abs(sum / 16 - small.data[at]);
    }
    expect(off / small.data.length).toBeLessThan(2);
  });

  it('end after the seconds that they may take, and leave others alone', async () => {
    const side = 16_000;
    const sheet = { width: side, height: side, channels: 4, background: '#12345680' } as const; // takes 3 s
    const file = await sharp({ create: sheet }).png({ compressionLevel: 1 }).toBuffer();
    const small = await photo(3).png().toBuffer();
    const before = await decodeImage(small);
    const ended = decodeImage(file, { seconds: 1 }).then(
      () => 'decoded in time',
      (error: unknown) => String(error),
    );
    expect(await ended).toMatch(
      /got an image that was decoded to \d+ % after 1 second\. Make it smaller/,
    );
    expect(await decodeImage(small)).toEqual(before);
  });
});

describe('turned', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('turns as sharp does (%d)', async (orientation) => {
    const { width, height, data } = shapesImage(1, 2).image;
    const raw = { width, height: height - 7, channels: 3 } as const;
    const pixels = data.subarray(0, width * (height - 7) * 3);
    const file = await sharp(pixels, { raw }).withMetadata({ orientation }).png().toBuffer();
    const expected = await decodeImage(file);
    const image = { ...raw, data: pixels };
    const { data: got, ...size } = turned(image, orientation);
    expect(size).toEqual({ width: expected.width, height: expected.height, channels: 3 });
    expect(Buffer.compare(Buffer.from(got), Buffer.from(expected.data))).toBe(0);
  });

  it('leaves alone what says nonsense', () => {
    const image = shapesImage(1, 2).image;
    for (const odd of [0, 9, -1, NaN]) expect(turned(image, odd)).toBe(image);
  });
});

describe('paths', () => {
  it.each([
    ['a folder', () => mkdirSync(at('a folder'))],
    ['a pipe', () => execFileSync('mkfifo', [at('a pipe')])],
    ['a device', () => symlinkSync('/dev/zero', at('a device'))],
    ['nothing at this path', () => symlinkSync('gone', at('nothing at this path'))],
    [
      'links that lead in a circle',
      () => symlinkSync(at('links that lead in a circle'), at('links that lead in a circle')),
    ],
    ['an empty file', () => writeFileSync(at('an empty file'), '')],
  ])('says that it is %s', async (what, make) => {
    make();
    await expect(decodeImage(at(what))).rejects.toThrow(DataError);
    await expect(decodeImage(at(what))).rejects.toThrow(`${at(what)}: expected a complete JPEG`);
    await expect(decodeImage(at(what))).rejects.toThrow(`got ${what}. `);
  });

  it('says that it is a socket', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at('socket.jpg'), resolve));
    await expect(decodeImage(at('socket.jpg'))).rejects.toThrow('got a socket. ');
    server.close();
  });

  it.skipIf(process.getuid?.() === 0)('says that it may not be read', async () => {
    writeFileSync(at('closed.jpg'), 'secret');
    chmodSync(at('closed.jpg'), 0);
    await expect(decodeImage(at('closed.jpg'))).rejects.toThrow('got no permission. ');
  });

  it('reads of a very large file no more than it needs', async () => {
    const started = performance.now();
    const jpeg = await photo(1).jpeg().toBuffer();
    const png = await photo(1).png().toBuffer();
    const longer = Buffer.from(png);
    longer.writeUInt32BE(2 ** 31 - 1, png.indexOf('IDAT') - 4);
    for (const [name, start, why] of [
      ['none.jpg', Buffer.alloc(0), 'a file of zeros'],
      ['cut.jpg', jpeg.subarray(0, jpeg.length / 2), 'damaged image data'],
      ['long.png', longer, 'a PNG file with more data than its pixels can have'],
    ] as const) {
      writeFileSync(at(name), start);
      truncateSync(at(name), 10e9); // of which nothing lies on the disk
      await expect(decodeImage(at(name))).rejects.toThrow(`got ${why}`);
    }
    expect(performance.now() - started).toBeLessThan(3000);
  });
});

// The kernel's own mark of a process; what getrusage says begins with the process that started this one.
describe.runIf(existsSync('/proc/self/status'))('memory', () => {
  const script = `
    const { readFileSync } = await import('node:fs');
    const { decodeImage } = await import(process.argv[1]);
    await decodeImage(process.argv[2]);
    const before = process.memoryUsage.rss();
    await decodeImage(process.argv[3], { leastSide: Number(process.argv[4]) });
    const [, peak] = /VmHWM:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
    console.log(1024 * peak - before);`;
  const decoder = new URL('../dist/data/decode.js', import.meta.url).href;
  const progressive = (image: Sharp) => image.jpeg({ progressive: true });

  it.each([
    ['a small PNG of 100 megapixels', 10_000, 10_000, Infinity, (image: Sharp) => image.png()],
    ['a progressive JPEG', 4000, 3000, Infinity, progressive],
    ['a WebP', 2000, 2000, Infinity, (image: Sharp) => image.webp({ effort: 0 })],
    ['a wide PNG', 40_000, 450, Infinity, (image: Sharp) => image.png()],
    ['a reduced PNG', 4000, 3000, 53, (image: Sharp) => image.png()],
    ['a reduced JPEG', 4000, 3000, 53, (image: Sharp) => image.jpeg()],
    ['a reduced progressive JPEG', 4000, 3000, 366, progressive],
    ['a reduced WebP', 4000, 3000, 366, (image: Sharp) => image.webp({ effort: 0 })],
  ])('of %s is no more than its header says', async (name, width, height, leastSide, encode) => {
    const flat = { width, height, channels: 3, background: '#468' } as const;
    const [path, small] = [at(name), at('small.png')];
    await encode(sharp({ create: flat })).toFile(path);
    await photo(1).png().toFile(small);
    const files = [decoder, small, path, String(leastSide)];
    const args = ['--input-type=module', '--eval', script, ...files];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const taken = Number(stdout);
    expect(taken, stderr).toBeGreaterThan(0);
    expect(taken).toBeLessThanOrEqual(lookAt(path, { check: false, leastSide }).bytes);
  });
});

describe('what reading images takes', () => {
  const write = async (name: string, width: number, height: number) => {
    const flat = { width, height, channels: 3, background: '#468' } as const;
    await sharp({ create: flat }).png().toFile(at(name));
    return at(name);
  };

  it('is that of the one that takes the most, whatever the files weigh', async () => {
    const flat = await write('flat.png', 2000, 1000); // of 7 KB
    const fine = await write('fine.png', 20, 20);
    writeFileSync(at('text.png'), new Uint8Array(1e6));
    const most = largestReading([fine, flat, at('text.png'), at('gone.png')], 224);
    expect(most).toEqual({ path: flat, bytes: lookAt(flat, { check: false }).bytes });
    expect(largestReading([at('text.png'), at('gone.png')], 224).bytes).toBe(0);
  });

  it('counts the rows of what is resized', async () => {
    const high = await write('high.png', 16, 20_000);
    expect(largestReading([high], 2048).bytes).toBe(3 * (2 * 16 * 20_000 + 2048 * 20_000));
  });
});
