/**
 * Files with the same bytes: found by size first, then by SHA-256 of those that share a size. Files are read one
 * after the other in small pieces, so that the memory does not depend on them.
 */
import { createHash } from 'node:crypto';
import { closeSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { openToRead } from '../host/files.js';

export interface SizedFile {
  readonly path: string;
  readonly bytes: number;
}

/** Bytes that are read at once. */
const PIECE = 1 << 16;

/** Files between which the event loop has a turn, for Ctrl-C. */
const AT_ONCE = 64;

/**
 * For each file the position of the first file with the same bytes, its own where it is the first. Empty files and
 * those that cannot be read are like no other.
 */
export async function firstCopies(files: readonly SizedFile[]): Promise<Int32Array> {
  const first = Int32Array.from(files, (_, index) => index);
  const bySize = new Map<number, number[]>();
  for (const [index, { bytes }] of files.entries()) {
    const others = bySize.get(bytes);
    if (others === undefined) bySize.set(bytes, [index]);
    else others.push(index);
  }
  const piece = Buffer.allocUnsafe(PIECE);
  let hashed = 0;
  for (const [bytes, alike] of bySize) {
    if (bytes === 0 || alike.length < 2) continue;
    const byHash = new Map<string, number>();
    for (const index of alike) {
      if (++hashed % AT_ONCE === 0) await setImmediate();
      const hash = contentHash(files[index].path, piece);
      if (hash === null) continue;
      const known = byHash.get(hash);
      if (known === undefined) byHash.set(hash, index);
      else first[index] = known;
    }
  }
  return first;
}

/** null for a file that cannot be read: whoever decodes it says so. */
function contentHash(path: string, piece: Buffer): string | null {
  const hash = createHash('sha256');
  try {
    const descriptor = openToRead(path, 'an image');
    try {
      for (let read = -1; read !== 0;) {
        read = readSync(descriptor, piece);
        hash.update(piece.subarray(0, read));
      }
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return null;
  }
  return hash.digest('base64');
}

/** Pairs of files with the same bytes. */
export interface CopyPairs {
  count: number;
  /** Paths of the first ones. */
  readonly examples: (readonly [path: string, other: string])[];
}

export interface CopiesFound {
  /** Validation images that are trained on too. */
  readonly acrossSides: CopyPairs;
  /** Images with more than one label. */
  readonly acrossClasses: CopyPairs;
  /** Further copies with the same label on the same side. */
  readonly within: CopyPairs;
}

/** Pairs that are kept as examples. */
const EXAMPLES = 3;

/**
 * What the copies mean for training and validation.
 *
 * @param first as `firstCopies` returns it for these files
 */
export function copiesAmong(
  files: readonly (SizedFile & { readonly label: number })[],
  first: ArrayLike<number>,
  validates: (index: number) => boolean,
): CopiesFound {
  const found = { acrossSides: none(), acrossClasses: none(), within: none() };
  const copied = files.flatMap((_, index) => (first[index] === index ? [] : [first[index], index]));
  const trained = new Map<number, number>(); // the position of the first copy → one that trains
  const twins = new Map<string, number>();
  const mixed = new Set<number>();
  const indices = [...new Set(copied)].sort((a, b) => a - b);
  for (const index of indices) {
    const content = first[index];
    const { label } = files[index];
    const side = validates(index) ? 'validates' : 'trains';
    if (side === 'trains' && !trained.has(content)) trained.set(content, index);
    const kind = `${String(content)} ${String(label)} ${side}`;
    const twin = twins.get(kind);
    if (twin === undefined) twins.set(kind, index);
    else add(found.within, files[index], files[twin]);
    if (label === files[content].label || mixed.has(content)) continue;
    mixed.add(content);
    add(found.acrossClasses, files[index], files[content]);
  }
  for (const index of indices.filter(validates)) {
    const other = trained.get(first[index]);
    if (other !== undefined) add(found.acrossSides, files[index], files[other]);
  }
  return found;
}

function none(): CopyPairs {
  return { count: 0, examples: [] };
}

function add(pairs: CopyPairs, file: SizedFile, other: SizedFile): void {
  pairs.count++;
  if (pairs.examples.length < EXAMPLES) pairs.examples.push([file.path, other.path]);
}
