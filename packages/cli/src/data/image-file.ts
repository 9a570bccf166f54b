/** Image files on disk: opened only where they are files, looked at before they are decoded. */
import { DataError, FileError } from '@thimble/core';
import { closeSync, openSync, readSync, statSync, type Stats } from 'node:fs';
import { fileError, systemCode } from '../host/files.js';
import { decodingOf, resizingBytes, type Decoding } from './decoding.js';
import {
  bytesSource,
  ImageBytes,
  imageError,
  readImage,
  WINDOW,
  type ByteSource,
} from './formats/index.js';

/**
 * How an image is to be decoded. Throws DataError for what is no file, none of the three formats, too large or
 * damaged.
 *
 * @param check whether to look for damage, which reads the whole file
 * @param leastSide pixels that suffice as the shortest side; default: as many as there are
 */
export function lookAt(
  image: string | Uint8Array,
  { check, leastSide }: { readonly check: boolean; readonly leastSide?: number },
): Decoding {
  const look = (where: string, source: ByteSource): Decoding => {
    const bytes = new ImageBytes(where, source, check ? WINDOW.file : WINDOW.header);
    const reader = readImage(bytes);
    const decoding = decodingOf(reader.header, bytes, leastSide);
    if (check) reader.check();
    return decoding;
  };
  if (typeof image !== 'string') return look('image', bytesSource(image));
  return inFile(image, (source) => look(image, source));
}

/** What reading an image takes at most: decoding it, then cutting it out and resizing it. */
export interface Reading {
  readonly path: string;
  readonly bytes: number;
}

/**
 * That of the image that takes the most, by its header. What cannot be decoded takes none.
 *
 * @param side of what images are resized to, in pixels
 */
export function largestReading(paths: readonly string[], side: number): Reading {
  let most: Reading = { path: '', bytes: 0 };
  for (const path of paths) {
    try {
      const decoding = lookAt(path, { check: false });
      const bytes = Math.max(decoding.bytes, resizingBytes(decoding, side));
      if (bytes > most.bytes) most = { path, bytes };
    } catch (error) {
      if (!(error instanceof DataError)) throw error; // it is dealt with when its turn comes
    }
  }
  return most;
}

function inFile<T>(path: string, use: (source: ByteSource) => T): T {
  try {
    const found = statSync(path);
    // A pipe would be waited for, and a device never ends.
    if (!found.isFile()) throw imageError(path, kindOf(found), 'Give a file, or remove it');
    const file = openSync(path, 'r');
    try {
      const read = (into: Uint8Array, at: number) => readSync(file, into, 0, into.length, at);
      return use({ size: found.size, read });
    } finally {
      closeSync(file);
    }
  } catch (error) {
    const known = fileError(path, 'an image', error);
    // Too many open files are no fault of this one.
    if (!(known instanceof FileError) || OF_SYSTEM.includes(systemCode(error) ?? '')) throw known;
    throw imageError(path, known.parts.got, known.parts.todo);
  }
}

/** What the system says where it has run out of something. */
const OF_SYSTEM: readonly string[] = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN'];

function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isFIFO()) return 'a pipe';
  return found.isSocket() ? 'a socket' : 'a device';
}
