/** Turning an image upright. */
import type { RawImage } from '@thimble/core';

/**
 * The image as its EXIF orientation says that it is to be seen; itself for 1 and for what is none.
 *
 *   2 mirrored  3 half a turn  4 upside down  5 mirrored along a diagonal  6 to be turned clockwise
 *   7 mirrored along the other  8 to be turned the other way
 */
export function turned(image: RawImage, orientation: number): RawImage {
  if (!(orientation >= 2 && orientation <= 8)) return image;
  const isAcross = orientation >= 5;
  const [width, height] = isAcross ? [image.height, image.width] : [image.width, image.height];
  const fromRight = [2, 3, 7, 8].includes(orientation);
  const fromBelow = [3, 4, 6, 7].includes(orientation);
  // Pixels from one to the next of a row and of a column there.
  const along = (fromRight ? -1 : 1) * 3;
  const down = (fromBelow ? -1 : 1) * 3 * image.width;
  const [right, below] = isAcross ? [down, along] : [along, down];
  const corner = fromRight ? image.width - 1 : 0;
  const first = 3 * ((fromBelow ? image.height - 1 : 0) * image.width + corner);
  const data = new Uint8Array(image.data.length);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, from = first + y * below; x < width; x++, from += right, to += 3) {
      data[to] = image.data[from];
      data[to + 1] = image.data[from + 1];
      data[to + 2] = image.data[from + 2];
    }
  }
  return { width, height, channels: 3, data };
}
