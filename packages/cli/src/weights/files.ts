/**
 * Weights on this disk: which file is meant, which files beside it say what it is.
 *
 *   a file     .safetensors, or the index of a sharded checkpoint
 *   a folder   in hub layout: model.safetensors or an index with its shards, config.json,
 *              preprocessor_config.json
 *
 * The files beside the weights count for a folder and for weights under the hub's own names; a file
 * of another name speaks for itself, but for an arch.json of its name (`mcunet.arch.json` beside
 * `mcunet.safetensors`).
 */
import { FormatError, type Sidecars } from '@thimble/core';
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { openCheckpoint, type OpenCheckpoint } from './checkpoint.js';
import { isFolder } from '../host/files.js';
import { isPickle, pickleError } from './pickle.js';
import { checkCached, hashedFiles, isCached, type HashedFile } from './hashes.js';
import { readJsonObject } from './json-file.js';
import { SHARD_INDEX } from './shard-index.js';
import { openSharded } from './sharded.js';

export const WEIGHTS = 'model.safetensors';

export interface WeightFiles {
  /** The weights, or the index of their shards. */
  readonly path: string;
  readonly checkpoint: OpenCheckpoint;
  readonly sidecars: Sidecars;
  /** Of the files of the weights; computed once. */
  readonly hashes: () => readonly HashedFile[];
}

/** Opens a file or a folder; what is of the hub's cache is checked first. Throws FileError and FormatError. */
export function openWeightFiles(given: string): WeightFiles {
  const path = isFolder(given) ? weightsOf(given) : given;
  const isIndex = path.endsWith('.json');
  const isNamed = basename(path) === WEIGHTS || isIndex;
  const beside = (file: string) => (isNamed ? readBeside(join(dirname(path), file)) : null);
  const sidecars = {
    config: beside('config.json'),
    preprocessor: beside('preprocessor_config.json'),
    architecture: isNamed ? beside('arch.json') : architectureBeside(path),
  };
  if (isIndex) checkCached(path);
  const hashes = once(() => hashedFiles(path));
  if (isCached(path)) hashes();
  return { path, checkpoint: isIndex ? openSharded(path) : openCheckpoint(path), sidecars, hashes };
}

/** What a file of weights may have behind its name for the dtype of its tensors. */
const DTYPES = /\.(fp16|fp32|bf16|int8)$/;

/** `NAME.arch.json` beside `NAME.safetensors` or `NAME.fp16.safetensors`; null where there is none. */
function architectureBeside(path: string): object | null {
  const stem = path.replace(/\.safetensors$/, '');
  const found = [stem, stem.replace(DTYPES, '')]
    .map((name) => `${name}.arch.json`)
    .find(existsSync);
  return found === undefined ? null : readJsonObject(found);
}

function readBeside(path: string): object | null {
  checkCached(path);
  return readJsonObject(path);
}

/** `compute`, whose result is kept. */
export function once<T>(compute: () => T): () => T {
  let kept: { readonly value: T } | null = null;
  return () => (kept ??= { value: compute() }).value;
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
