/**
 * Image files to 8-bit RGB, by sharp (libvips).
 *
 * EXIF orientation is applied; transparency is laid on white; grey, CMYK, 16-bit and profiled
 * pictures are converted to 8-bit sRGB; of animations the first frame is taken. A truncated or
 * damaged file is an error, not half a picture, and so is one of more than MAX_PIXELS (a small
 * file can unpack to gigabytes).
 */
import { DataError, type RawImage } from '@thimble/core';
import { statSync } from 'node:fs';
import sharp from 'sharp';

/** 100 megapixels: 300 MB of RGB, more than cameras give. */
export const MAX_PIXELS = 100_000_000;

// libvips keeps decoded files and starts a thread per core by default; a loader decides about both
// itself.
sharp.cache(false);
sharp.concurrency(1);

/**
 * Decodes one file.
 *
 * @param path of a JPEG, PNG or WebP file, or its bytes. Throws DataError with libvips' reason.
 */
export async function decodeImage(path: string | Uint8Array): Promise<RawImage> {
  try {
    const { data, info } = await sharp(path, { failOn: 'truncated', limitInputPixels: MAX_PIXELS })
      .autoOrient()
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return rgb(data, info.width, info.height, info.channels);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DataError({
      where: typeof path === 'string' ? path : 'image',
      expected: 'a complete JPEG, PNG or WebP image',
      got: reason.replaceAll('\n', '; '),
      todo: 'Replace or remove the file',
    });
  }
}

/** Files whose headers are read to find the largest image: large images are large files. */
const LOOKED_AT = 16;

/** Bytes of the largest of the images as RGB, by the headers of the largest files; 0 for none. */
export async function largestImage(paths: readonly string[]): Promise<number> {
  const sized = paths.map((path) => ({ path, bytes: statSync(path).size }));
  const largest = sized.sort((a, b) => b.bytes - a.bytes).slice(0, LOOKED_AT);
  let most = 0;
  for (const { path } of largest) {
    // What cannot be read is dealt with when its turn comes.
    const header = await sharp(path)
      .metadata()
      .catch(() => null);
    most = Math.max(most, (header?.width ?? 0) * (header?.height ?? 0) * 3);
  }
  return most;
}

function rgb(data: Uint8Array, width: number, height: number, channels: number): RawImage {
  if (channels === 3) return { width, height, channels: 3, data };
  const out = new Uint8Array(width * height * 3); // grey that stayed grey: repeat the level
  for (let i = 0; i < width * height; i++) out.fill(data[i * channels], i * 3, i * 3 + 3);
  return { width, height, channels: 3, data: out };
}
