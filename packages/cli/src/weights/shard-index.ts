/**
 * The index of a checkpoint in several files: which tensor is in which shard.
 *
 * Shard names come from whoever made the file, so a name that is anything but a plain file name
 * beside the index is refused.
 *
 * Source: huggingface_hub, `model.safetensors.index.json` ({metadata: {total_size}, weight_map}).
 */
import { FormatError } from '@thimble/core';

export const SHARD_INDEX = 'model.safetensors.index.json';

export interface ShardIndex {
  /** File names, in the order of their first tensor. */
  readonly shards: readonly string[];
  readonly shardOf: ReadonlyMap<string, string>;
}

/** @param where what errors call the index. Throws FormatError. */
export function parseShardIndex(where: string, text: string): ShardIndex {
  const fail = (expected: string, got: string): FormatError =>
    new FormatError({ where, expected, got, todo: 'Download or export the checkpoint again' });
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw fail('JSON', error instanceof Error ? error.message : 'none');
  }
  const map = weightMap(parsed);
  if (!map) throw fail('an object "weight_map" of file names by tensor', 'none');
  const entries = Object.entries(map);
  if (entries.length === 0) throw fail('tensors in weight_map', 'none');
  const shardOf = new Map<string, string>();
  for (const [tensor, shard] of entries) {
    if (!isPlainFile(shard)) {
      const got = JSON.stringify(shard)?.slice(0, 100) ?? 'none';
      throw fail(`the name of a safetensors file beside the index for ${tensor}`, got);
    }
    shardOf.set(tensor, shard);
  }
  return { shards: [...new Set(shardOf.values())], shardOf };
}

function weightMap(value: unknown): object | null {
  if (typeof value !== 'object' || value === null || !('weight_map' in value)) return null;
  const { weight_map: map } = value;
  return typeof map === 'object' && map !== null && !Array.isArray(map) ? map : null;
}

/** No separator of any system, no drive, no `..`, no hidden or absolute path, no NUL. */
function isPlainFile(name: unknown): name is string {
  return typeof name === 'string' && /^\w[\w.-]{0,200}\.safetensors$/.test(name);
}
