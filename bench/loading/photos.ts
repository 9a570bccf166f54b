/** Photos of several sizes, made from small ones: enlarged, with the fine grain of a camera, as JPEG. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

export interface PhotoSize {
  readonly name: string;
  /** Sides in pixels; null: as they are. */
  readonly sides: readonly [width: number, height: number] | null;
}

export const SIZES: readonly PhotoSize[] = [
  { name: '227 px', sides: null },
  { name: '1 megapixel', sides: [1156, 867] },
  { name: '12 megapixels', sides: [4000, 3000] },
];

/** Levels of the grain, a standard deviation: files of 12 megapixels then have about 4 MB. */
const GRAIN = 9;

/** Writes `perClass` photos of each class below `to`, made of the first ones by name below `from`. */
export async function writePhotos(
  from: string,
  to: string,
  { sides }: PhotoSize,
  perClass: number,
): Promise<void> {
  const grain = sides && (await grainOf(sides));
  for (const name of readdirSync(from).sort()) {
    mkdirSync(join(to, name), { recursive: true });
    for (const file of readdirSync(join(from, name)).sort().slice(0, perClass)) {
      const photo = sharp(join(from, name, file));
      if (grain) {
        const { width, height } = grain.raw;
        photo.resize(width, height, { fit: 'fill', kernel: 'lanczos3' });
        photo.composite([{ ...grain, blend: 'soft-light' }]);
      }
      await photo.jpeg({ quality: 90 }).toFile(join(to, name, `${file}.jpg`));
    }
  }
}

async function grainOf([width, height]: readonly [number, number]) {
  const noise = { type: 'gaussian', mean: 128, sigma: GRAIN } as const;
  const create = { width, height, channels: 3, background: '#808080', noise } as const;
  const input = await sharp({ create }).raw().toBuffer();
  return { input, raw: { width, height, channels: 3 } } as const;
}
