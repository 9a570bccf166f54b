/**
 * How an image is decoded, and what that takes: decided by its header alone, so that it is known before and the
 * same every time.
 *
 * Images of at most FULL_PIXELS are decoded as they are. Larger ones are halved while they are decoded, and halved
 * again as long as that makes them fit: JPEG and WebP decoders do it before there are pixels, libvips in a few rows
 * of the others. Whatever a file says, decoding it takes at most DECODE_BYTES.
 *
 * Who needs a shortest side of so many pixels only gets the image halved as often as leaves it that: a fraction of
 * the time and of the memory, for a picture that is reduced further anyway.
 */
import { megabytes } from '@thimble/core';
import type { ImageBytes, ImageHeader } from './formats/index.js';

/** 16.8 megapixels: 50 MB of RGB, a hundred times what a model looks at. */
export const FULL_PIXELS = 2 ** 24;

/** 268 megapixels: the largest WebP, more than cameras and phones give; six seconds to decode. */
export const MAX_PIXELS = 2 ** 28;

/** The largest side of a JPEG. */
const MAX_SIDE = 65_535;

/** What decoding one image may take, beside the process. */
export const DECODE_BYTES = 2 ** 28;

/** Halvings that decoders can do. */
const MAX_HALVINGS = 3;

/** And those of images that are read for a small model. */
const MAX_REDUCING = 6;

/** Copies of profiles and texts: five by libraries of formats and libvips, and what unpacking them here leaves. */
const METADATA_COPIES = 8;

/** Rows that libvips keeps of what it is given, as it is; to halve it, and twice as many for each time more. */
const ROWS = 220;
const HALVING_ROWS = 960;

/** What heaps and threads grow by with large files, and with each pixel of small ones. */
const ROOM_BYTES = 20e6;
const ROOM_OF_PIXEL = 8;

/** Bytes of a pixel. */
const RGB = 3;

/**
 * What random crops are cut from: images as they are stored, or reduced as far as no crop has fewer pixels than what
 * it becomes (`leastSide`).
 */
export const CROP_SOURCES = ['whole', 'reduced'] as const;
export type CropSource = (typeof CROP_SOURCES)[number];

export interface Decoding {
  readonly halvings: number;
  /** Sides of the result in pixels, before any turn. */
  readonly width: number;
  readonly height: number;
  /** Bytes that decoding takes at most; the result is among them. */
  readonly bytes: number;
}

/**
 * Throws DataError, by `image`, for what is too large.
 *
 * @param leastSide pixels that suffice as the shortest side; default: as many as there are
 */
export function decodingOf(header: ImageHeader, image: ImageBytes, leastSide = Infinity): Decoding {
  const { kind, width, height } = header;
  const pixels = width * height;
  const size = `${kind} of ${String(width)} × ${String(height)} pixels`;
  const smaller = 'Make it smaller, or remove it';
  if (pixels > MAX_PIXELS) {
    const [has, most] = [pixels, MAX_PIXELS].map((count) => (count / 1e6).toFixed(1));
    return image.fail(`${size}: ${has} megapixels, above the pixel limit of ${most}`, smaller);
  }
  if (Math.max(width, height) > MAX_SIDE) {
    return image.fail(`${size}, where a side has at most ${String(MAX_SIDE)}`, smaller);
  }
  const all = Array.from({ length: MAX_HALVINGS + 1 }, (_, halvings) => decoding(header, halvings));
  const fits = ({ bytes, ...result }: Decoding) =>
    result.width * result.height <= FULL_PIXELS && bytes <= DECODE_BYTES;
  const fitting = all.find(fits);
  if (fitting) return reduced(header, fitting, leastSide, fits);
  const least = Math.min(...all.map(({ bytes }) => bytes));
  const most = `at most ${megabytes(DECODE_BYTES)}`;
  return image.fail(`${size}, which takes ${megabytes(least)} to decode, ${most}`, smaller);
}

/** `whole` halved on, as long as its shortest side keeps `leastSide` pixels. */
function reduced(
  header: ImageHeader,
  whole: Decoding,
  leastSide: number,
  fits: (decoding: Decoding) => boolean,
): Decoding {
  let best = whole;
  for (let halvings = whole.halvings + 1; halvings <= MAX_REDUCING; halvings++) {
    const next = decoding(header, halvings);
    if (Math.min(next.width, next.height) < leastSide || !fits(next)) break;
    best = next;
  }
  return best;
}

function decoding(header: ImageHeader, halvings: number): Decoding {
  const { pixelBytes, frameBytes, wholeBytes, metadataBytes } = header;
  const width = Math.ceil(header.width / 2 ** halvings);
  const height = Math.ceil(header.height / 2 ** halvings);
  const pixels = width * height;
  // Of the halvings, the last ones are done by libvips on what the decoder gives.
  const beyond = Math.max(0, halvings - MAX_HALVINGS);
  const last = Math.min(halvings, header.halvingsLeft + beyond);
  const given = Math.ceil(header.width / 2 ** (halvings - last));
  const rows = last === 0 ? ROWS : HALVING_ROWS * 2 ** (last - 1);
  // libvips turns an image before it converts it; a halved one is turned when it is RGB.
  const turned = halvings === 0 ? pixelBytes : RGB;
  const bytes =
    wholeBytes +
    METADATA_COPIES * metadataBytes +
    rows * given * pixelBytes +
    pixels * (RGB + turned + frameBytes) +
    Math.min(ROOM_BYTES, header.width * header.height * ROOM_OF_PIXEL);
  return { halvings, width, height, bytes };
}

/** Bytes while the result is made a square of this side: with a part cut out of it, and rows of the width to be. */
export function resizingBytes({ width, height }: Decoding, side: number): number {
  return RGB * (2 * width * height + side * Math.max(width, height));
}
