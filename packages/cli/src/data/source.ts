/**
 * Descriptions of image sources that can be sent to a worker thread, and how to open them there.
 */
import { shapesSource, type ImageSource } from '@thimble/core';
import { decodeImage } from './decode.js';
import type { ImageFile } from './folder.js';
import type { CacheSubject } from './image-cache.js';
import { changeOf, stampsOf, subjectAt, type Stamps } from './watch.js';

export type SourceDescription =
  | {
      readonly kind: 'folder';
      readonly files: readonly ImageFile[];
      /** With which changes of the files are noticed. */
      readonly stamps?: Stamps;
    }
  | { readonly kind: 'shapes'; readonly seed: number; readonly count: number };

export interface OpenSource extends ImageSource {
  /** What image i is to a cache, looked at before it is read; null where it has no file. */
  subject(index: number): CacheSubject | null;
  /** Image i has gone since training began, or was changed. */
  isOther(index: number): boolean;
  /** Indices of images that were seen to be others since this was asked last. */
  takeChanged(): readonly number[];
}

/** The source, its files watched from now on. */
export function watched(description: SourceDescription): SourceDescription {
  if (description.kind === 'shapes') return description;
  return { ...description, stamps: stampsOf(description.files) };
}

/** The source that a description stands for. */
export function openSource(description: SourceDescription): OpenSource {
  switch (description.kind) {
    case 'folder':
      return fileSource(description.files, description.stamps);
    case 'shapes':
      return {
        ...shapesSource(description.seed, description.count),
        subject: () => null,
        isOther: () => false,
        takeChanged: () => [],
      };
  }
  return description satisfies never;
}

const NO_CHANGE = { isOther: false, isNews: false };

function fileSource(files: readonly ImageFile[], stamps: Stamps | undefined): OpenSource {
  const isWhole = new Uint8Array(files.length); // found so when it was first read
  const others = new Set<number>();
  let changed: number[] = [];
  return {
    length: files.length,
    label: (index) => files[index].label,
    name: (index) => files[index].path,
    subject: (index) => {
      const now = subjectAt(files[index].path);
      const { isOther, isNews } = stamps ? changeOf(stamps, index, now) : NO_CHANGE;
      if (isOther) others.add(index);
      else others.delete(index);
      if (isNews) {
        changed.push(index);
        isWhole[index] = 0;
      }
      return now;
    },
    isOther: (index) => others.has(index),
    takeChanged: () => {
      const taken = changed;
      changed = [];
      return taken;
    },
    pixels: async (index, leastSide = Infinity) => {
      const options = { check: isWhole[index] === 0, leastSide };
      const image = await decodeImage(files[index].path, options);
      isWhole[index] = 1;
      return image;
    },
  };
}
