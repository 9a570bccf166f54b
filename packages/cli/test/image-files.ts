/** Image files for tests: photo-like pixels, whole and damaged, and JPEG files put together by hand. */
import { Random } from '@thimble/core';
import { crc32, deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { bytesSource, ImageBytes, readImage } from '../src/data/formats/index.js';

/** Waves and noise: about the entropy of a photo. */
export function photo(seed: number, width = 128, height = 96): Sharp {
  const random = Random.of(seed, 'photo');
  const waves = Array.from({ length: 6 }, () => [
    random.between(-0.2, 0.2),
    random.between(-0.2, 0.2),
    random.between(0, 6),
    random.between(10, 40),
  ]);
  const data = new Uint8Array(width * height * 3);
  for (let at = 0; at < data.length; at++) {
    const pixel = Math.floor(at / 3);
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    const level = waves.reduce(
      (sum, [u, v, phase, size]) => sum + size * Math.sin(u * x + v * y + phase + (at % 3)),
      128 + random.between(-12, 12),
    );
    data[at] = Math.max(0, Math.min(255, level));
  }
  return sharp(data, { raw: { width, height, channels: 3 } });
}

/** Reads the header and looks for damage; throws what they throw. */
export function examine(bytes: Uint8Array): void {
  readImage(new ImageBytes('image', bytesSource(bytes))).check();
}

/** A segment of a JPEG file. */
export function segment(marker: number, data: Uint8Array): Buffer {
  const length = data.length + 2;
  return Buffer.concat([Buffer.from([0xff, marker, length >> 8, length & 255]), data]);
}

/** Where the segment of this marker begins in the header of a JPEG file. */
export function segmentAt(file: Buffer, marker: number): number {
  let at = 2;
  while (file[at + 1] !== marker) at += 2 + file.readUInt16BE(at + 2);
  return at;
}

/** Where the data of the first scan begins. */
export function scanAt(file: Buffer): number {
  const at = segmentAt(file, 0xda);
  return at + 2 + file.readUInt16BE(at + 2);
}

/** A grey JPEG of blocks one above the other, with a restart marker behind each but the last. */
export async function withRestarts(blocks: number): Promise<Buffer> {
  const one = await photo(1, 8, 8).toColourspace('b-w').jpeg().toBuffer();
  const [frame, scan] = [segmentAt(one, 0xc0), scanAt(one)];
  const header = Buffer.from(one.subarray(0, scan));
  header.writeUInt16BE(8 * blocks, frame + 5);
  const data = one.subarray(scan, one.length - 2);
  const parts = Array.from({ length: blocks }, (_, number) =>
    number + 1 < blocks ? Buffer.concat([data, Buffer.from([0xff, 0xd0 + (number % 8)])]) : data,
  );
  const scanSegment = segmentAt(one, 0xda);
  return Buffer.concat([
    header.subarray(0, scanSegment),
    segment(0xdd, Uint8Array.of(0, 1)),
    header.subarray(scanSegment),
    ...parts,
    Buffer.from([0xff, 0xd9]),
  ]);
}

/** A PNG chunk of compressed text: what is before it, then the text. */
export function pngChunk(name: string, before: Uint8Array, text: Uint8Array): Buffer {
  const data = Buffer.concat([Buffer.from(name), before, deflateSync(text, { level: 9 })]);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(data.length - 4, 0);
  numbers.writeUInt32BE(crc32(data), 4);
  return Buffer.concat([numbers.subarray(0, 4), data, numbers.subarray(4)]);
}
