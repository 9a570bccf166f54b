/** What a disk says when the cache cannot be written, in words that help. */
import { DownloadError } from '@thimble/core';
import { isCode } from './cache.js';

const DENIED = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST'];

/**
 * The error to throw for `error`: a DownloadError where the disk is full or closed, else itself.
 *
 * @param name of the model; @param folder of the cache
 */
export function diskError(name: string, folder: string, error: unknown): unknown {
  if (isCode(error, 'ENOSPC') || isCode(error, 'EDQUOT')) {
    return noRoom(name, folder, 'the rest', 'a full disk');
  }
  if (!DENIED.some((code) => isCode(error, code))) return error;
  return new DownloadError({
    where: name,
    expected: `a cache that can be written to at ${folder}`,
    got: error instanceof Error ? error.message : String(error),
    todo: 'Set HF_HOME to a folder of yours',
  });
}

export function noRoom(name: string, folder: string, needed: string, free: string): DownloadError {
  return new DownloadError({
    where: name,
    expected: `room for ${needed} in ${folder}`,
    got: free,
    todo: 'Free some, or set HF_HOME to a folder on another disk; what came is kept and continued',
  });
}
