/**
 * Descriptions of image sources that can be sent to a worker thread, and how to open them there.
 */
import { shapesSource, type ImageSource } from '@thimble/core';
import { decodeImage } from './decode.js';
import type { ImageFile } from './folder.js';

export type SourceDescription =
  | { readonly kind: 'folder'; readonly files: readonly ImageFile[] }
  | { readonly kind: 'shapes'; readonly seed: number; readonly count: number };

/** The source that a description stands for. */
export function openSource(description: SourceDescription): ImageSource {
  switch (description.kind) {
    case 'folder': {
      const { files } = description;
      const isWhole = new Uint8Array(files.length); // found so when it was first read
      return {
        length: files.length,
        label: (index) => files[index].label,
        name: (index) => files[index].path,
        pixels: async (index, leastSide = Infinity) => {
          const options = { check: isWhole[index] === 0, leastSide };
          const image = await decodeImage(files[index].path, options);
          isWhole[index] = 1;
          return image;
        },
      };
    }
    case 'shapes':
      return shapesSource(description.seed, description.count);
  }
  return description satisfies never;
}
