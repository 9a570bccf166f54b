/**
 * undo: forgotten.safetensors, from which the weights that training left come back bit for bit.
 *
 *   <parameter>.indices   I32, ascending    elements that were dampened since training
 *   <parameter>.before    F32               what training had left there
 *
 * A second forgetting adds to the file: of an element that both have changed, the first value stays.
 */
import {
  FormatError,
  readSafetensors,
  safetensorsData,
  safetensorsPrefix,
  type Change,
  type Changes,
} from '@thimble/core';
import { statSync } from 'node:fs';
import { fileError, readBytes, replaceFile, writeAll } from '../host/files.js';

/** What `forgotten.safetensors` says. */
export interface Undo {
  readonly changes: Changes;
  /** Which file of weights had them. */
  readonly weights: 'last' | 'best';
}

const WEIGHTS = 'thimble.weights';

/** Writes the file; its bytes. Throws FileError. */
export async function writeUndo(path: string, { changes, weights }: Undo): Promise<number> {
  const tensors = [...changes].flatMap(([name, { indices, before }]) => [
    { name: `${name}.indices`, dtype: 'I32' as const, shape: [indices.length], data: indices },
    { name: `${name}.before`, dtype: 'F32' as const, shape: [before.length], data: before },
  ]);
  const { prefix, ordered } = safetensorsPrefix(tensors, new Map([[WEIGHTS, weights]]));
  let bytes = 0;
  await replaceFile(path, (descriptor) => {
    for (const part of [prefix, ...ordered.map((tensor) => safetensorsData(tensor))]) {
      writeAll(descriptor, part);
      bytes += part.byteLength;
    }
  });
  return bytes;
}

/** Reads the file. Throws FileError and FormatError. */
export function readUndo(path: string): Undo {
  const what = 'the weights that were dampened';
  const { metadata, tensors } = readSafetensors(readBytes(path, what, sizeOf(path, what)));
  const changes = new Map<string, Change>();
  for (const [name, view] of tensors) {
    if (!name.endsWith('.indices')) continue;
    const parameter = name.slice(0, -'.indices'.length);
    const before = tensors.get(`${parameter}.before`);
    if (before?.length !== view.length) throw notUndo(path, `as many values as ${name} has`, name);
    const indices = Uint32Array.from(view.toInt32());
    changes.set(parameter, { indices, before: before.asFloat32() });
  }
  const weights = metadata.get(WEIGHTS);
  if (weights === 'last' || weights === 'best') return { changes, weights };
  throw notUndo(path, `the metadata ${WEIGHTS}, last or best`, weights ?? 'none');
}

/** All that two forgettings have changed, with what was there before both. */
export function withEarlier(earlier: Changes, later: Changes): Changes {
  const all = new Map(earlier);
  for (const [name, change] of later) {
    const first = all.get(name);
    all.set(name, first ? union(first, change) : change);
  }
  return all;
}

/** Ascending; of an index that both have, the value of `first`. */
function union(first: Change, second: Change): Change {
  const known = new Set(first.indices);
  const more = [...second.indices.keys()].filter((at) => !known.has(second.indices[at]));
  const entries = [
    ...[...first.indices.keys()].map((at) => ({ index: first.indices[at], from: first, at })),
    ...more.map((at) => ({ index: second.indices[at], from: second, at })),
  ].sort((a, b) => a.index - b.index);
  return {
    indices: Uint32Array.from(entries, ({ index }) => index),
    before: Float32Array.from(entries, ({ from, at }) => from.before[at]),
  };
}

function sizeOf(path: string, what: string): number {
  try {
    return statSync(path).size;
  } catch (error) {
    throw fileError(path, what, error);
  }
}

function notUndo(path: string, expected: string, got: string): FormatError {
  const todo = 'Use the folder as thimble forget wrote it';
  return new FormatError({ where: path, expected, got, todo });
}
