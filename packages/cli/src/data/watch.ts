/**
 * Files that change or go while they are trained on. Each is known by its size and the time of its last change, as they
 * were when training began; whoever reads an image looks at them first.
 *
 * What has changed is used as it is now. What can be read no more is left out as long as it is little; beyond that the
 * run ends: a disk that was unplugged is no smaller set of images.
 */
import { DataError } from '@thimble/core';
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { counted } from '../terminal/format.js';
import { inOneLine } from '../terminal/terminal.js';
import type { CacheSubject } from './image-cache.js';

/**
 * Of each file [size, time] when training began, and [size, time] when it was looked at last; NaN for no file. Shared, so
 * that what one thread has said is not said by another.
 */
export type Stamps = Float64Array<SharedArrayBuffer>;

const EACH = 4;

/** The files as they are now. */
export function stampsOf(files: readonly { readonly path: string }[]): Stamps {
  const bytes = EACH * files.length * Float64Array.BYTES_PER_ELEMENT;
  const stamps = new Float64Array(new SharedArrayBuffer(bytes));
  files.forEach(({ path }, index) => {
    const now = stampOf(subjectAt(path));
    stamps.set([...now, ...now], EACH * index);
  });
  return stamps;
}

export interface FileChange {
  /** It was there when training began, and is gone or another now. */
  readonly isOther: boolean;
  /** It is another than when any thread looked at it before. */
  readonly isNews: boolean;
}

/** What became of a file. */
export function changeOf(stamps: Stamps, index: number, found: CacheSubject | null): FileChange {
  const now = stampOf(found);
  const [first, last] = [0, 2].map((at) => {
    const from = EACH * index + at;
    return stamps.subarray(from, from + 2);
  });
  const isNews = found !== null && !isSame(now, last);
  if (isNews) last.set(now);
  return { isOther: !Number.isNaN(first[0]) && !isSame(now, first), isNews };
}

function stampOf(found: CacheSubject | null): readonly [bytes: number, ms: number] {
  return found === null ? [NaN, NaN] : [found.bytes, found.modifiedMs];
}

function isSame(one: ArrayLike<number>, other: ArrayLike<number>): boolean {
  return one[0] === other[0] && one[1] === other[1];
}

/** null for what cannot be looked at: whoever decodes it says so. */
export function subjectAt(path: string): CacheSubject | null {
  try {
    const { size, mtimeMs, ctimeMs } = statSync(path);
    return { path: resolve(path), bytes: size, modifiedMs: mtimeMs, changedMs: ctimeMs };
  } catch {
    return null;
  }
}

/** Share of the images that may be lost. */
const MOST_LOST = 0.1;

/** Throws DataError where more images are lost than one, and than a tenth of them. */
export function checkLost(lost: readonly string[], count: number): void {
  if (lost.length <= Math.max(1, MOST_LOST * count)) return;
  throw new DataError({
    where: inOneLine(lost[0]),
    expected: 'the images that training began with',
    got: `${String(lost.length)} of ${String(count)} lost so far, this one the first`,
    todo: 'Bring them back and go on with thimble resume',
  });
}

/** Names that are said of many. */
const NAMED = 3;

/** `3 images that training began with are lost: a.jpg, b.jpg, …`. @param what behind `1 image` and `2 images` */
export function namedImages(names: readonly string[], what: readonly [string, string]): string {
  const shown = names.slice(0, NAMED).map(inOneLine).join(', ');
  const more = names.length > NAMED ? ', …' : '';
  return `${counted(names.length, 'image')} ${what[names.length === 1 ? 0 : 1]}: ${shown}${more}`;
}
