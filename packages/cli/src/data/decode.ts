/**
 * Image files to 8-bit RGB, by sharp (libvips).
 *
 * EXIF orientation is applied; transparency is laid on white; grey, CMYK, 16-bit and profiled pictures are converted
 * to 8-bit sRGB; of animations the first frame is taken. Images above FULL_PIXELS are halved (`decoding.ts`). What
 * is no image file, too large or damaged is an error, not half a picture.
 */
import { FileError, ThimbleError, type RawImage } from '@thimble/core';
import sharp, { type Sharp } from 'sharp';
import { counted } from '../terminal/format.js';
import { inOneLine } from '../terminal/terminal.js';
import { MAX_PIXELS, type Decoding } from './decoding.js';
import { imageError } from './formats/index.js';
import { lookAt } from './image-file.js';
import { turned } from './turned.js';

/**
 * The last resort: all that is let through takes a few seconds, thirty times as long on a slow machine. The time is
 * that of libvips, not that of waiting for a thread.
 */
const SECONDS = 300;

/** Another one may give other pixels. */
export const DECODER = `sharp ${sharp.versions.sharp ?? ''}, libvips ${sharp.versions.vips}`;

export interface DecodeOptions {
  /** Whether to look for damage; to be left out where the same file was decoded before. Default: yes. */
  readonly check?: boolean;
  /** That libvips may take. */
  readonly seconds?: number;
  /** Pixels that suffice as the shortest side, as for `decodingOf`. */
  readonly leastSide?: number;
}

// libvips keeps decoded files and starts a thread per core by default; a loader decides about both itself. Its
// other loaders (SVG, PDF, TIFF, …) are never tried, whatever a file contains.
sharp.cache(false);
sharp.concurrency(1);
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['VipsForeignLoadJpeg', 'VipsForeignLoadPng', 'VipsForeignLoadWebp'],
});

/**
 * Decodes one file.
 *
 * @param image path of a JPEG, PNG or WebP file, or its bytes
 *
 * Throws DataError, saying why in words.
 */
export async function decodeImage(
  image: string | Uint8Array,
  { check = true, seconds = SECONDS, leastSide = Infinity }: DecodeOptions = {},
): Promise<RawImage> {
  const where = typeof image === 'string' ? image : 'image';
  const decoding = lookAt(image, { check, leastSide });
  const limits = { failOn: 'truncated', limitInputPixels: MAX_PIXELS } as const;
  const open = () => sharp(image, limits).timeout({ seconds });
  try {
    if (decoding.halvings === 0) return await rgb(open().autoOrient());
    const { orientation = 1 } = await open().metadata();
    return turned(await rgb(halved(open(), decoding)), orientation);
  } catch (error) {
    throw error instanceof ThimbleError ? error : undecodable(where, error, seconds);
  }
}

/** At the size that was decided; sharp lets the decoder do of it what it can. */
function halved(image: Sharp, { width, height }: Decoding): Sharp {
  return image.resize({ width, height, fit: 'fill' });
}

async function rgb(image: Sharp): Promise<RawImage> {
  const { data, info } = await image
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  if (channels === 3) return { width, height, channels, data };
  const out = new Uint8Array(width * height * 3); // grey that stayed grey: repeat the level
  for (let i = 0; i < width * height; i++) out.fill(data[i * channels], i * 3, i * 3 + 3);
  return { width, height, channels: 3, data: out };
}

/** What libvips says, in words where we have them. */
function undecodable(where: string, error: unknown, seconds: number): ThimbleError {
  const said = error instanceof Error ? error.message : String(error);
  const [, done] = /^timeout: (\d+)% complete/.exec(said) ?? [];
  if (done !== undefined) {
    const got = `an image that was decoded to ${done} % after ${counted(seconds, 'second')}`;
    return imageError(where, got, 'Make it smaller, or remove it');
  }
  if (/out of memory|cannot allocate/i.test(said)) {
    const expected = 'memory to decode an image';
    return new FileError({ where, expected, got: 'none left', todo: 'Use fewer --workers' });
  }
  if (/premature end/.test(said)) return imageError(where, 'a file that ends within its image');
  const [last] = said.trim().split('\n').slice(-1);
  return imageError(where, `an image that cannot be decoded (${inOneLine(last)})`);
}
