/**
 * The picture that every source delivers and every transform takes: 8-bit sRGB, three channels
 * interleaved, rows from the top, no padding. Pixel (x, y) starts at data[3 · (y · width + x)].
 */
import { DataError } from '../errors.js';

export interface RawImage {
  readonly width: number;
  readonly height: number;
  readonly channels: 3;
  readonly data: Uint8Array | Uint8ClampedArray; // [height, width, 3]
}

/** Wraps pixels as an image. Throws DataError when their number is not width × height × 3. */
export function rawImage(
  width: number,
  height: number,
  data: Uint8Array | Uint8ClampedArray,
): RawImage {
  if (!(width >= 1 && height >= 1 && data.length === width * height * 3)) {
    throw new DataError({
      where: 'image',
      expected: `${width} × ${height} × 3 = ${width * height * 3} bytes of RGB`,
      got: `${data.length} bytes`,
      todo: 'Pass 8-bit RGB without alpha and without row padding',
    });
  }
  return { width, height, channels: 3, data };
}

/** A copy of the part of a picture inside a box of whole pixels. */
export function cropped(
  image: RawImage,
  box: { readonly x: number; readonly y: number; readonly width: number; readonly height: number },
): RawImage {
  const { x, y, width, height } = box;
  const data = new Uint8ClampedArray(width * height * 3);
  for (let row = 0; row < height; row++) {
    const from = ((y + row) * image.width + x) * 3;
    data.set(image.data.subarray(from, from + width * 3), row * width * 3);
  }
  return { width, height, channels: 3, data };
}
