/**
 * The index of a checkpoint in several files: which tensor is in which shard.
 *
 * Shard names come from whoever made the file, so a name that is anything but a plain file name
 * beside the index is refused.
 *
 * Source: huggingface_hub, `model.safetensors.index.json` ({metadata: {total_size}, weight_map}).
 */
import { FormatError, schema } from '@thimble/core';

export const SHARD_INDEX = 'model.safetensors.index.json';

export interface ShardIndex {
  /** File names, in the order of their first tensor. */
  readonly shards: readonly string[];
  readonly shardOf: ReadonlyMap<string, string>;
}

/** The largest published checkpoint has a few hundred. */
const MAX_SHARDS = 10_000;
const MAX_TENSORS = 1_000_000;

/** @param where what errors call the index. Throws FormatError. */
export function parseShardIndex(where: string, text: string): ShardIndex {
  const todo = 'Download or export the checkpoint again';
  const { weight_map: map } = schema.read(text, index, { file: where, error: FormatError, todo });
  const shardOf = new Map(Object.entries(map));
  return { shards: [...new Set(shardOf.values())], shardOf };
}

/** No separator of any system, no drive, no `..`, no hidden or absolute path, no NUL. */
const plainFile: schema.Reader<string> = (value, place) =>
  typeof value === 'string' && /^\w[\w.-]{0,200}\.safetensors$/.test(value)
    ? value
    : place.fail('the name of a safetensors file beside the index', value);

const index = schema.object({
  weight_map: schema.refined(schema.record(plainFile, { most: MAX_TENSORS }), (map, place) => {
    const { size } = new Set(Object.values(map));
    if (size === 0) throw place.error('tensors', 'none');
    if (size > MAX_SHARDS) throw place.error(`at most ${String(MAX_SHARDS)} files`, String(size));
  }),
});
