/** Photos of a folder of class folders, as a model reads them. */
import { preprocessInto, type Preprocess } from '@thimble/core';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

export interface Photos {
  /** [count, 3, S, S] */
  readonly pixels: Float32Array;
  /** Index of the class of each. */
  readonly labels: readonly number[];
}

/** `count` photos, the classes in turn. Throws Error for a class that has no folder. */
export async function readPhotos(
  folder: string,
  classes: readonly string[],
  preprocess: Preprocess,
  count: number,
): Promise<Photos> {
  const files = classes.map((name) => readdirSync(join(folder, name)).sort());
  const turns = Array.from({ length: Math.max(...files.map(({ length }) => length)) });
  const chosen = turns
    .flatMap((_, turn) => files.map((list, label) => ({ label, file: list[turn] })))
    .filter(({ file }) => file !== undefined)
    .slice(0, count);
  const size = 3 * preprocess.size ** 2;
  const pixels = new Float32Array(chosen.length * size);
  for (const [index, { label, file }] of chosen.entries()) {
    const { data, info } = await sharp(join(folder, classes[label], file))
      .autoOrient()
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    const image = { width: info.width, height: info.height, channels: 3, data } as const;
    preprocessInto(image, preprocess, pixels.subarray(index * size, (index + 1) * size));
  }
  return { pixels, labels: chosen.map(({ label }) => label) };
}
