/** A part of the training images, for a quick look: at most so many of each class. */
import { Random } from '@thimble/core';
import type { ImageFile } from './folder.js';
import type { LeftOut } from './left-out.js';

interface Labelled {
  readonly train: readonly ImageFile[];
  readonly classes: readonly string[];
  /** Is told of the others. */
  readonly leftOut: LeftOut;
}

/**
 * The images that train, in the order in which they came: of each class `most`, drawn by the seed.
 */
export function limited(
  { train, classes, leftOut }: Labelled,
  most: number,
  seed: number,
): readonly ImageFile[] {
  const kept = new Set<ImageFile>();
  for (const label of classes.keys()) {
    const files = train.filter((file) => file.label === label);
    const order = Uint32Array.from(files.keys());
    Random.of(seed, 'limit', label).shuffle(order);
    for (const index of order.subarray(0, most)) kept.add(files[index]);
  }
  for (const file of train) if (!kept.has(file)) leftOut.add('limit', file.path);
  return train.filter((file) => kept.has(file));
}
