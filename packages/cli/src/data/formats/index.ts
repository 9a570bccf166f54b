/**
 * Image files, looked at before they are decoded: what they are, by their content; what decoding takes; whether
 * they are whole.
 */
import { latin1, type ImageBytes } from './bytes.js';
import type { ImageReader } from './header.js';
import { readJpeg } from './jpeg.js';
import { readPng } from './png.js';
import { readWebp } from './webp.js';

export { bytesSource, ImageBytes, imageError, WINDOW, type ByteSource } from './bytes.js';
export type { ImageHeader, ImageReader } from './header.js';

/** Reads the header. Throws DataError for what is none of the three formats, or has a damaged header. */
export function readImage(bytes: ImageBytes): ImageReader {
  if (bytes.size === 0) bytes.fail('an empty file');
  const start = bytes.from(0).slice(0, SIGN_BYTES);
  const sign = latin1(start);
  if (sign.startsWith('\xff\xd8\xff')) return readJpeg(bytes);
  if (sign.startsWith('\x89PNG\r\n\x1a\n')) return readPng(bytes);
  if (/^RIFF[^]{4}WEBP/.test(sign)) return readWebp(bytes);
  const known = OTHERS.find(([pattern]) => pattern.test(sign));
  if (known) return bytes.fail(known[1], 'Convert it to JPEG, PNG or WebP, or remove it');
  const shown = Array.from(start.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0'));
  return bytes.fail(`an unsupported image format, beginning with the bytes ${shown.join(' ')}`);
}

const SIGN_BYTES = 64;

/** Beginnings of files that people take for one of the three. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^GIF8[79]a/, 'a GIF image'],
  [/^BM[^]{4}\0\0\0\0/, 'a BMP image'],
  [/^(II\*\0|MM\0\*|II\+\0|MM\0\+)/, 'a TIFF or raw image'],
  [/^[^]{4}ftyp(heic|heix|hevc|heim|heis|mif1|msf1)/, 'a HEIC image'],
  [/^[^]{4}ftypavi[fs]/, 'an AVIF image'],
  [/^[^]{4}ftyp/, 'a video'],
  [/^(\xff\x0a|\0\0\0\x0cJXL )/, 'a JPEG XL image'],
  [/^\0\0\0\x0cjP {2}/, 'a JPEG 2000 image'],
  [/^\xff\x4f\xff\x51/, 'a JPEG 2000 image'],
  [/^%PDF-/, 'a PDF document'],
  [/^(\xef\xbb\xbf)?\s*<(\?xml|!--|svg)/i, 'an SVG drawing or other XML'],
  [/^(\xef\xbb\xbf)?\s*<(!doctype|html)/i, 'a web page'],
  [/^PK\x03\x04/, 'a ZIP archive'],
  [/^version https:\/\/git-lfs/, 'a pointer of Git LFS instead of the file'],
  [/^\0+$/, 'a file of zeros'],
];
