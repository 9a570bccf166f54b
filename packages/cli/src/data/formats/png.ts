/**
 * PNG files (ISO/IEC 15948): the header, and whether every chunk of the image is there with the checksum that it
 * was written with.
 */
import { crc32, inflateSync } from 'node:zlib';
import { latin1, uint32, type ImageBytes } from './bytes.js';
import {
  MAX_CHUNKS,
  MAX_METADATA_BYTES,
  TOO_MUCH_METADATA,
  type ImageHeader,
  type ImageReader,
} from './header.js';

/** Bytes of the signature; of a chunk's length and name before its data, and with the checksum behind. */
const SIGNATURE = 8;
const BEFORE = 8;
const AROUND = 12;

/** Chunks that change pixels, beside those that every decoder must know (with a capital first letter). */
const COLOUR = ['tRNS', 'gAMA', 'cHRM', 'sRGB', 'iCCP', 'cICP', 'eXIf'];
/** Chunks that decoders keep, some of them compressed. */
const KEPT = ['tEXt', 'zTXt', 'iTXt', 'iCCP', 'eXIf', 'sPLT'];
const PACKED = ['zTXt', 'iTXt', 'iCCP'];
/** Bytes that libpng unpacks one of them to at most. */
const MAX_UNPACKED = 8e6;

/** Channels by colour type; of a palette those of its colours. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 3, 4: 2, 6: 4 };
const DEPTHS = [1, 2, 4, 8, 16];

interface Chunk {
  readonly name: string;
  /** Where its data begins, and how long it is. */
  readonly at: number;
  readonly length: number;
}

/** The first chunk. */
interface Shape {
  readonly width: number;
  readonly height: number;
  /** Bits of a sample. */
  readonly depth: number;
  readonly colourType: number;
  readonly isInterlaced: boolean;
}

/** Reads up to the first pixels. Throws DataError. */
export function readPng(bytes: ImageBytes): ImageReader {
  const shape = shapeOf(bytes);
  let metadataBytes = 0;
  let isTransparent = false;
  for (const chunk of chunksOf(bytes)) {
    if (chunk.name === 'IDAT') break;
    if (chunk.name === 'IEND') bytes.fail('a PNG file without an image');
    isTransparent ||= chunk.name === 'tRNS';
    if (KEPT.includes(chunk.name)) metadataBytes += keptBytes(bytes, chunk);
    if (metadataBytes > MAX_METADATA_BYTES) bytes.fail(TOO_MUCH_METADATA);
  }
  return {
    header: headerOf(shape, isTransparent, metadataBytes),
    check: () => {
      checkChunks(bytes, shape);
    },
  };
}

function shapeOf(bytes: ImageBytes): Shape {
  const start = bytes.take(SIGNATURE, BEFORE + 13, 'its header');
  if (uint32(start, 0) !== 13 || latin1(start.subarray(4, 8)) !== 'IHDR') {
    return bytes.fail('a PNG file without a header');
  }
  const [width, height] = [uint32(start, BEFORE), uint32(start, BEFORE + 4)];
  const [depth, colourType, , , interlace] = start.subarray(BEFORE + 8);
  if (!DEPTHS.includes(depth) || CHANNELS[colourType] === undefined || width * height === 0) {
    const size = `${String(width)} × ${String(height)} pixels`;
    return bytes.fail(
      `a PNG file of ${size}, ${String(depth)} bits, colours ${String(colourType)}`,
    );
  }
  return { width, height, depth, colourType, isInterlaced: interlace !== 0 };
}

function headerOf(shape: Shape, isTransparent: boolean, metadataBytes: number): ImageHeader {
  const { width, height, depth, colourType, isInterlaced } = shape;
  const channels = CHANNELS[colourType] + (isTransparent ? 1 : 0);
  const pixelBytes = channels * (depth === 16 ? 2 : 1);
  return {
    kind: isInterlaced ? 'an interlaced PNG' : 'a PNG',
    width,
    height,
    pixelBytes,
    frameBytes: 0,
    wholeBytes: isInterlaced ? width * height * pixelBytes : 0,
    metadataBytes,
    halvingsLeft: Infinity,
  };
}

/** Chunks up to the last one, which a complete file has. */
function* chunksOf(bytes: ImageBytes): Generator<Chunk> {
  let at = SIGNATURE;
  for (let count = 0; count < MAX_CHUNKS; count++) {
    const before = bytes.take(at, BEFORE, 'its image: the end chunk is missing');
    const chunk = { name: latin1(before.subarray(4)), at: at + BEFORE, length: uint32(before, 0) };
    at += AROUND + chunk.length;
    if (at > bytes.size) bytes.failShort(`a chunk ${visibleName(chunk)}`);
    yield chunk;
    if (chunk.name === 'IEND') return;
  }
  bytes.fail(`a PNG file of more than ${String(MAX_CHUNKS)} chunks`);
}

function checkChunks(bytes: ImageBytes, shape: Shape): void {
  let left = mostCompressed(shape);
  for (const chunk of chunksOf(bytes)) {
    if (chunk.name === 'IDAT') left -= chunk.length;
    if (left < 0) bytes.fail('a PNG file with more data than its pixels can have');
    if (/^[A-Z]/.test(chunk.name) || COLOUR.includes(chunk.name)) checkSum(bytes, chunk);
  }
}

/** Bytes that the pixels take where they cannot be compressed, and room for encoders that do it badly. */
function mostCompressed({ width, height, depth, colourType }: Shape): number {
  const row = Math.ceil((width * CHANNELS[colourType] * depth) / 8) + 1;
  const passes = 7; // of an interlaced file, each with its rows
  return 1.1 * height * (row + passes) + 2 ** 20;
}

function checkSum(bytes: ImageBytes, chunk: Chunk): void {
  const { at, length } = chunk;
  let sum = 0;
  for (let done = -4; done < length;) {
    const part = bytes.from(at + done);
    const count = Math.min(part.length, length - done);
    if (count === 0) bytes.failShort(`a chunk ${visibleName(chunk)}`);
    sum = crc32(part.subarray(0, count), sum);
    done += count;
  }
  if (uint32(bytes.take(at + length, 4, 'a checksum'), 0) === sum) return;
  bytes.fail(
    `a PNG file whose chunk ${visibleName(chunk)} at byte ${String(at - BEFORE)} is damaged`,
  );
}

/** Bytes of a chunk in the memory of a decoder. */
function keptBytes(bytes: ImageBytes, { name, at, length }: Chunk): number {
  if (!PACKED.includes(name)) return length;
  // What is too long to be looked into here is longer than profiles and texts are.
  if (length > 2 ** 16) return Math.max(length, MAX_UNPACKED);
  return length + unpackedBytes(bytes.take(at, length, `a chunk ${name}`), name);
}

function unpackedBytes(data: Uint8Array, name: string): number {
  const afterName = data.indexOf(0) + 1;
  // A text says whether it is compressed, and then has two more names.
  const isText = name === 'iTXt';
  if (isText && data[afterName] === 0) return 0;
  const language = data.indexOf(0, afterName + 2) + 1;
  const start = isText ? data.indexOf(0, language) + 1 : afterName + 1;
  try {
    return inflateSync(data.subarray(start), { maxOutputLength: MAX_UNPACKED }).length;
  } catch (error) {
    const isLong = error instanceof Error && 'code' in error;
    return isLong && error.code === 'ERR_BUFFER_TOO_LARGE' ? MAX_UNPACKED : 0;
  }
}

/** Names have four letters; what is damaged has anything. */
function visibleName({ name }: Chunk): string {
  return /^[A-Za-z]{4}$/.test(name) ? name : 'without a name';
}
