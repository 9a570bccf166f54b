/**
 * Where pictures come from: anything that can be counted, labelled and read one by one. Folders
 * (in the command line), drawn shapes (here), a browser's file list are all sources; loaders know
 * only this.
 */
import type { RawImage } from './image.js';
import { shapesClasses, shapesImage } from './shapes.js';

/** Labelled pictures by number. */
export interface ImageSource {
  readonly length: number;
  /** Class of image i, 0-based. */
  label(index: number): number;
  /** Path or other name of image i, for messages. */
  name(index: number): string;
  /**
   * Decodes image i. Rejects when it cannot be read; the loader then skips it.
   *
   * @param leastSide pixels that suffice as its shortest side: it may come reduced, but not below; default: whole
   */
  pixels(index: number, leastSide?: number): Promise<RawImage>;
}

/** The first `count` pictures of the drawn set of this seed. */
export function shapesSource(seed: number, count: number): ImageSource {
  return {
    length: count,
    label: (index) => index % shapesClasses.length,
    name: (index) => `${shapesClasses[index % shapesClasses.length]} ${index} of seed ${seed}`,
    pixels: (index) => Promise.resolve(shapesImage(seed, index).image),
  };
}
