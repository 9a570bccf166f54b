/**
 * The images that a command line names: files, folders with everything below them, and patterns that no shell has
 * expanded. What is named and is none of these is a failure of its own; the others are not held up by it.
 */
import { DataError, FileError, ThimbleError } from '@thimble/core';
import { statSync, type Stats } from 'node:fs';
import { fileError, systemCode } from '../host/files.js';
import type { LeftOut } from './left-out.js';
import { listFolder } from './listing.js';
import { expanded, isPattern } from './pattern.js';
import { picturesIn } from './pictures.js';

export interface Inputs {
  /** In the order of the command line, those of a folder by name. */
  readonly paths: readonly string[];
  readonly failures: readonly ThimbleError[];
}

const EXPECTED = 'a JPEG, PNG or WebP file, or a folder of them';

/** @param leftOut is told what in the folders is no image that can be read */
export function inputsOf(given: readonly string[], leftOut: LeftOut): Inputs {
  const paths: string[] = [];
  const failures: ThimbleError[] = [];
  for (const text of given) {
    try {
      for (const path of isNoPath(text) && isPattern(text) ? matched(text) : [text]) {
        for (const image of imagesAt(path, leftOut)) paths.push(image);
      }
    } catch (error) {
      if (!(error instanceof ThimbleError)) throw error;
      failures.push(error);
    }
  }
  return { paths, failures };
}

/** Throws FileError and DataError. */
function imagesAt(path: string, leftOut: LeftOut): readonly string[] {
  let stats: Stats;
  try {
    stats = statSync(path);
  } catch (error) {
    throw fileError(path, EXPECTED, error);
  }
  if (stats.isFile()) return [path];
  if (!stats.isDirectory()) {
    throw new FileError({
      where: path,
      expected: EXPECTED,
      got: 'a pipe, socket or device',
      todo: 'Save the image as a file first',
    });
  }
  const found = picturesIn(listFolder(path), '', leftOut);
  if (found.length > 0) return found.map((picture) => picture.path);
  throw new DataError({
    where: path,
    expected: 'a folder with JPEG, PNG or WebP files',
    got: 'one without',
    todo: 'Check the path',
  });
}

function matched(pattern: string): readonly string[] {
  const paths = expanded(pattern);
  if (paths.length > 0) return paths;
  throw new FileError({
    where: pattern,
    expected: 'a file, or a pattern that some files match',
    got: 'a pattern that none matches',
    todo: 'Check the path; * is any part of a name, ? one character, ** any folders',
  });
}

function isNoPath(text: string): boolean {
  try {
    statSync(text);
    return false;
  } catch (error) {
    const code = systemCode(error);
    return code === 'ENOENT' || code === 'ENOTDIR' || code === 'EINVAL';
  }
}
