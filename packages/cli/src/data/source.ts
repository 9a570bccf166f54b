/**
 * Descriptions of image sources that can be sent to a worker thread, and how to open them there.
 */
import { shapesSource, type ImageSource } from '@thimble/core';
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { decodeImage } from './decode.js';
import type { ImageFile } from './folder.js';
import type { CacheSubject } from './image-cache.js';

export type SourceDescription =
  | { readonly kind: 'folder'; readonly files: readonly ImageFile[] }
  | { readonly kind: 'shapes'; readonly seed: number; readonly count: number };

export interface OpenSource extends ImageSource {
  /** What image i is to a cache; null where it has no file. */
  subject(index: number): CacheSubject | null;
}

/** The source that a description stands for. */
export function openSource(description: SourceDescription): OpenSource {
  switch (description.kind) {
    case 'folder': {
      const { files } = description;
      const isWhole = new Uint8Array(files.length); // found so when it was first read
      return {
        length: files.length,
        label: (index) => files[index].label,
        name: (index) => files[index].path,
        subject: (index) => subjectAt(files[index].path),
        pixels: async (index, leastSide = Infinity) => {
          const options = { check: isWhole[index] === 0, leastSide };
          const image = await decodeImage(files[index].path, options);
          isWhole[index] = 1;
          return image;
        },
      };
    }
    case 'shapes':
      return { ...shapesSource(description.seed, description.count), subject: () => null };
  }
  return description satisfies never;
}

/** null for what cannot be looked at: whoever decodes it says so. */
function subjectAt(path: string): CacheSubject | null {
  try {
    const { size, mtimeMs, ctimeMs } = statSync(path);
    return { path: resolve(path), bytes: size, modifiedMs: mtimeMs, changedMs: ctimeMs };
  } catch {
    return null;
  }
}
