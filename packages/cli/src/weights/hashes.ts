/**
 * SHA-256 of files of weights: always of the bytes that are there. Files of the hub's cache are called by the
 * checksum that their bytes had when they came; where they have another now, the disk or somebody changed them, and
 * they are not used. 346 MB take 0.3 s.
 */
import { FormatError } from '@thimble/core';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, readSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileError, openToRead } from '../host/files.js';
import { readShardIndex } from './sharded.js';

/** A file of the weights and what it holds. */
export interface HashedFile {
  readonly file: string;
  readonly sha256: string;
}

/**
 * The files that the weights are in, with their hashes: what a run starts from.
 *
 * @param path of the weights, or of the index of their shards
 * Throws FileError, and FormatError for a file of the cache that is not what it was.
 */
export function hashedFiles(path: string): readonly HashedFile[] {
  const folder = dirname(path);
  const isIndex = path.endsWith('.json');
  const files = isIndex ? readShardIndex(path).shards.map((shard) => join(folder, shard)) : [path];
  return files.map((file) => ({ file: basename(file), sha256: checkedHash(file) }));
}

/** Throws FormatError where a file is one of the cache and not what it was; others pass unread. */
export function checkCached(path: string): void {
  if (isCached(path)) checkedHash(path);
}

/** Whether a path leads to a file of the hub's cache. */
export function isCached(path: string): boolean {
  return existsSync(path) && checksumOf(realpathSync(path)) !== null;
}

/** The checksum that a file of the cache is called by: SHA-256, or git's SHA-1 of a blob; null for other files. */
function checksumOf(path: string): string | null {
  const name = basename(path);
  const isBlob = basename(dirname(path)) === 'blobs' && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name);
  return isBlob ? name : null;
}

/** SHA-256 of any file. Throws FileError. */
export function sha256Of(path: string): string {
  try {
    return hashesOf(path, false).sha256;
  } catch (error) {
    throw fileError(path, 'a file that can be read', error);
  }
}

/** The SHA-256 of a file of weights. */
function checkedHash(path: string): string {
  try {
    const blob = realpathSync(path);
    const wanted = checksumOf(blob);
    const isGit = wanted?.length === GIT_LENGTH;
    const { sha256, git } = hashesOf(blob, isGit);
    const found = isGit ? git : sha256;
    if (wanted === null || found === wanted) return sha256;
    throw new FormatError({
      where: path,
      expected: `the bytes with the checksum ${wanted}, as the cache calls the file`,
      got: `others, with ${found}`,
      todo: `Remove ${blob}, which was damaged or changed; the next run downloads it again`,
    });
  } catch (error) {
    throw fileError(path, 'a file that can be read', error);
  }
}

const GIT_LENGTH = 40;
/** Bytes that are read at a time. */
const CHUNK = 1 << 20;

/** @param withGit whether git's SHA-1 of a blob is computed too; else '' */
function hashesOf(
  path: string,
  withGit: boolean,
): { readonly sha256: string; readonly git: string } {
  const descriptor = openToRead(path, 'weights');
  try {
    const sha256 = createHash('sha256');
    const header = `blob ${String(fstatSync(descriptor).size)}\0`;
    const git = withGit ? createHash('sha1').update(header) : null;
    const chunk = new Uint8Array(CHUNK);
    for (let count = CHUNK; count > 0;) {
      count = readSync(descriptor, chunk, 0, CHUNK, null);
      sha256.update(chunk.subarray(0, count));
      git?.update(chunk.subarray(0, count));
    }
    return { sha256: sha256.digest('hex'), git: git?.digest('hex') ?? '' };
  } finally {
    closeSync(descriptor);
  }
}
