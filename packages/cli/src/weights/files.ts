/**
 * Weights on this disk: which file is meant, which files beside it say what it is.
 *
 *   a file     .safetensors, or the index of a sharded checkpoint
 *   a folder   in hub layout: model.safetensors or an index with its shards, config.json,
 *              preprocessor_config.json
 *
 * The files beside the weights count for a folder and for weights under the hub's own names; a file
 * of another name speaks for itself.
 */
import { FormatError, type Sidecars } from '@thimble/core';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readdirSync, readSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { openCheckpoint, type OpenCheckpoint } from '../checkpoint.js';
import { isFolder } from '../files.js';
import { isPickle, pickleError } from '../pickle.js';
import { readJsonObject } from './json-file.js';
import { SHARD_INDEX } from './shard-index.js';
import { openSharded, readShardIndex } from './sharded.js';

export const WEIGHTS = 'model.safetensors';

export interface WeightFiles {
  /** The weights, or the index of their shards. */
  readonly path: string;
  readonly checkpoint: OpenCheckpoint;
  readonly sidecars: Sidecars;
}

/** Opens a file or a folder. Throws FormatError. */
export function openWeightFiles(given: string): WeightFiles {
  const path = isFolder(given) ? weightsOf(given) : given;
  const isIndex = path.endsWith('.json');
  const isNamed = basename(path) === WEIGHTS || isIndex;
  const beside = (file: string) => (isNamed ? readJsonObject(join(dirname(path), file)) : null);
  const config = beside('config.json');
  const sidecars = { config, preprocessor: beside('preprocessor_config.json') };
  return { path, checkpoint: isIndex ? openSharded(path) : openCheckpoint(path), sidecars };
}

function weightsOf(folder: string): string {
  const names = [WEIGHTS, SHARD_INDEX];
  const found = names.find((name) => existsSync(join(folder, name)));
  if (found !== undefined) return join(folder, found);
  const files = readdirSync(folder).sort();
  const pickled = files.find(isPickle);
  const others = files.filter((file) => file.endsWith('.safetensors'));
  if (others.length === 0 && pickled !== undefined) throw pickleError(join(folder, pickled));
  const named = others.length > 0 ? others : files;
  throw new FormatError({
    where: folder,
    expected: `${names.join(' or ')}, or the folder of a run`,
    got: files.length === 0 ? 'an empty folder' : named.slice(0, 5).join(', '),
    todo: others.length > 0 ? `Give the file: ${join(folder, others[0])}` : 'Check the path',
  });
}

/** A file of the weights and what it holds. */
export interface HashedFile {
  readonly file: string;
  readonly sha256: string;
}

/** The files that the weights are in, with their hashes: what a run started from. */
export function hashedFiles(path: string): readonly HashedFile[] {
  const folder = dirname(path);
  const files = path.endsWith('.json')
    ? readShardIndex(path).shards.map((shard) => join(folder, shard))
    : [path];
  return files.map((file) => ({ file: basename(file), sha256: sha256Of(file) }));
}

/** Bytes that are hashed at a time. */
const CHUNK = 1 << 20;

/** A file of the cache is called by its hash, which was checked when it came. */
function sha256Of(path: string): string {
  const blob = realpathSync(path);
  if (basename(dirname(blob)) === 'blobs' && /^[0-9a-f]{64}$/.test(basename(blob))) {
    return basename(blob);
  }
  const hash = createHash('sha256');
  const chunk = new Uint8Array(CHUNK);
  const descriptor = openSync(blob, 'r');
  try {
    for (let count = CHUNK; count > 0;) {
      count = readSync(descriptor, chunk, 0, CHUNK, null);
      hash.update(chunk.subarray(0, count));
    }
  } finally {
    closeSync(descriptor);
  }
  return hash.digest('hex');
}
