/** Image files, damaged as bytes: decoded to what the header says, or refused. */
import sharp from 'sharp';
import { decodeImage } from '../../packages/cli/src/data/decode.js';
import { lookAt } from '../../packages/cli/src/data/image-file.js';
import type { Target } from '../campaign.js';
import { damagedBytes, pick } from '../mutate.js';

const WIDTH = 40;
const HEIGHT = 24;
const PIXELS = Uint8Array.from({ length: WIDTH * HEIGHT * 4 }, (_, at) => (at * at * 31) % 253);
const picture = sharp(PIXELS, { raw: { width: WIDTH, height: HEIGHT, channels: 4 } });

const FILES: readonly Uint8Array[] = await Promise.all(
  [
    picture.clone().jpeg(),
    picture.clone().jpeg({ progressive: true, chromaSubsampling: '4:4:4' }),
    picture.clone().toColourspace('b-w').jpeg().withMetadata({ orientation: 6 }),
    picture.clone().png(),
    picture.clone().png({ progressive: true }).withMetadata(),
    picture.clone().png({ palette: true }),
    picture.clone().webp(),
    picture.clone().webp({ lossless: true }).withMetadata(),
  ].map(async (image) => new Uint8Array(await image.toBuffer())),
);

export const images: Target = {
  name: 'images',
  make: (random) => damagedBytes(random, pick(random, FILES)),
  check: async (input) => {
    const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input;
    const image = await decodeImage(bytes);
    const { width, height } = lookAt(bytes, { check: false });
    const sides = [image.width, image.height];
    if (image.data.length !== image.width * image.height * 3) return 'another number of pixels';
    return sides.includes(width) && sides.includes(height) ? null : 'other sides than the header';
  },
};
