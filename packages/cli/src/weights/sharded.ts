/**
 * A checkpoint in several files as one: every shard's header is checked as that of a single file,
 * and index and shards have to agree on where each tensor is.
 */
import { FormatError } from '@thimble/core';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openCheckpoint, type OpenCheckpoint } from './checkpoint.js';
import { parseFile } from './json-file.js';
import { parseShardIndex, type ShardIndex } from './shard-index.js';

export const MAX_INDEX_BYTES = 64_000_000;

/** @param path the index; its shards are beside it. Throws FormatError. */
export function openSharded(path: string): OpenCheckpoint {
  const { shards, shardOf } = readShardIndex(path);
  const missing = shards.filter((shard) => !existsSync(join(dirname(path), shard)));
  if (missing.length > 0) {
    throw wrong(path, `${String(shards.length)} shards beside it`, `no ${missing.join(', ')}`);
  }
  const opened = new Map<string, OpenCheckpoint>();
  try {
    for (const shard of shards) opened.set(shard, openCheckpoint(join(dirname(path), shard)));
    const owner = owners(path, opened, shardOf);
    const shardOfTensor = (tensor: string): OpenCheckpoint => {
      const shard = owner.get(tensor);
      if (shard) return shard;
      throw wrong(path, `tensor ${tensor}`, 'none of this name');
    };
    return {
      name: path,
      metadata: new Map([...opened.values()].flatMap(({ metadata }) => [...metadata])),
      shapes: new Map(
        [...owner].map(([tensor, shard]) => [tensor, shard.shapes.get(tensor) ?? []]),
      ),
      dtypes: new Map([...opened.values()].flatMap(({ dtypes }) => [...dtypes])),
      read: (tensor) => shardOfTensor(tensor).read(tensor),
      readIntegers: (tensor, dtype) => shardOfTensor(tensor).readIntegers(tensor, dtype),
      close: () => {
        for (const shard of opened.values()) shard.close();
      },
    };
  } catch (error) {
    for (const shard of opened.values()) shard.close();
    throw error;
  }
}

/** The shard of each tensor. */
function owners(
  path: string,
  opened: ReadonlyMap<string, OpenCheckpoint>,
  shardOf: ReadonlyMap<string, string>,
): ReadonlyMap<string, OpenCheckpoint> {
  const owner = new Map<string, OpenCheckpoint>();
  for (const [shard, checkpoint] of opened) {
    for (const tensor of checkpoint.shapes.keys()) {
      const before = owner.get(tensor);
      if (before) throw wrong(path, `tensor ${tensor} once`, `it in ${before.name} and ${shard}`);
      owner.set(tensor, checkpoint);
    }
  }
  for (const [tensor, shard] of shardOf) {
    if (owner.get(tensor) === opened.get(shard) && owner.has(tensor)) continue;
    const elsewhere = owner.get(tensor);
    const got = elsewhere ? `it in ${elsewhere.name}` : 'none of this name there';
    throw wrong(path, `tensor ${tensor} in ${shard}`, got);
  }
  return owner;
}

/** An index on this disk. Throws FileError and FormatError. */
export function readShardIndex(path: string): ShardIndex {
  const parse = (text: string) => parseShardIndex(path, text);
  return parseFile(path, 'an index of shards', parse, MAX_INDEX_BYTES);
}

function wrong(where: string, expected: string, got: string): FormatError {
  const todo = 'Download or export the whole checkpoint again';
  return new FormatError({ where, expected, got, todo });
}
