/**
 * Pictures on which exports are tried: drawn shapes in sizes that photos have, encoded and decoded again as any
 * photo is.
 *
 * Half of them have the shortest edge that the crop is taken from, and four lengths of the other in turn, so that
 * of the four remainders of half a pixel (0, 1/2, 1, 3/2) that a centre can have, each occurs: a crop that is
 * centred otherwise shows in one of them. The others are resized, down and up.
 */
import { resize, resizedEdge, shapesImage, type Preprocess, type RawImage } from '@thimble/core';
import sharp from 'sharp';
import { decodeImage } from '../data/decode.js';

/** Seed of the shapes; any will do. */
const SEED = 1;
const RESIZED: readonly (readonly [width: number, height: number])[] = [
  [301, 203],
  [150, 229],
  [47, 31],
  [97, 97],
];

/** Eight pictures, half of them JPEG. */
export function testPictures(preprocess: Preprocess): Promise<readonly RawImage[]> {
  const edge = resizedEdge(preprocess);
  const unresized = [1, 2, 3, 4].map((more) =>
    more <= 2 ? ([edge + more, edge] as const) : ([edge, edge + more] as const),
  );
  return Promise.all(
    [...unresized, ...RESIZED].map(([width, height], index) => picture(width, height, index)),
  );
}

async function picture(width: number, height: number, index: number): Promise<RawImage> {
  const { image } = shapesImage(SEED, index);
  const { data } = resize(image, width, height, 'bicubic');
  const raw = sharp(data, { raw: { width, height, channels: 3 } });
  return decodeImage(await (index % 2 === 0 ? raw.png() : raw.jpeg({ quality: 95 })).toBuffer());
}
