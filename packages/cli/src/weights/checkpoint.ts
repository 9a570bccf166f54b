/**
 * Checkpoints on disk: safetensors files read and written one tensor at a time, so that a model
 * is never held a second time in memory.
 */
import {
  bytesOf,
  checkpointed,
  firstNotFinite,
  FormatError,
  readSafetensorsHeader,
  safetensorsData,
  safetensorsHeaderEnd,
  safetensorsPrefix,
  ThimbleError,
  TensorView,
  TrainingError,
  type DType,
  type Executor,
  type HostData,
  type IntegerArray,
  type IntegerDType,
  type ModelConfig,
  type ModelGraph,
  type Preprocess,
  type SafetensorsDtype,
  type SafetensorsHeader,
  type Shape,
  type TensorType,
  type WeightSource,
} from '@thimble/core';
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, readSync } from 'node:fs';
import { openToRead, replaceFile, writeAll, type FileWriter } from '../host/files.js';
import { Garbage } from '@thimble/native';
import { notSafetensors } from './content.js';

export interface OpenCheckpoint extends WeightSource {
  /** As the file stores each tensor. */
  readonly dtypes: ReadonlyMap<string, SafetensorsDtype>;
  readIntegers(tensor: string, dtype: IntegerDType): IntegerArray;
  readonly metadata: ReadonlyMap<string, string>;
  close(): void;
}

/** Opens a safetensors file. Throws FileError where there is none, FormatError for one that is not valid. */
export function openCheckpoint(path: string): OpenCheckpoint {
  const descriptor = openToRead(path, 'a safetensors file');
  const garbage = new Garbage();
  try {
    const header = readHeader(path, descriptor);
    const shapes = new Map<string, Shape>();
    const dtypes = new Map<string, SafetensorsDtype>();
    for (const { name, shape, dtype } of header.tensors.values()) {
      shapes.set(name, shape);
      dtypes.set(name, dtype);
    }
    return {
      ...{ name: path, metadata: header.metadata, shapes, dtypes },
      read: (tensor) => {
        const data = readTensor(path, descriptor, header, tensor, (view) => view.asFloat32());
        garbage.dropped(data.byteLength); // sooner or later
        return data;
      },
      readIntegers: (tensor, dtype) =>
        readTensor(path, descriptor, header, tensor, (view) => integersOf(view, dtype)),
      close: () => {
        closeSync(descriptor);
      },
    };
  } catch (error) {
    closeSync(descriptor);
    throw notSafetensors(path) ?? naming(path, error);
  }
}

/** What every checkpoint says of itself, so that it can be read without its run folder. */
export function checkpointMetadata(
  model: { readonly name: string; readonly config: ModelConfig },
  classes: readonly string[],
  preprocess: Preprocess,
): ReadonlyMap<string, string> {
  return new Map([
    ['format', 'pt'],
    ['model', model.name],
    ['classes', JSON.stringify(classes)],
    ['thimble.config', JSON.stringify(model.config)],
    ['preprocess', JSON.stringify(preprocess)],
  ]);
}

/** Bytes of the file that `saveCheckpoint` writes. */
export function checkpointBytes(model: ModelGraph, metadata: ReadonlyMap<string, string>): number {
  const { prefix } = safetensorsPrefix(storedTensors(model), metadata);
  return checkpointed(model.graph).reduce(
    (sum, { type }) => sum + bytesOf(type),
    prefix.byteLength,
  );
}

/**
 * Writes every parameter and buffer of the model; returns the SHA-256 of the file. Throws TrainingError when a value
 * is not finite; `writeFile` says what is at `path` then: by default, what was.
 */
export function saveCheckpoint(
  path: string,
  executor: Pick<Executor, 'read'>,
  model: ModelGraph,
  metadata: ReadonlyMap<string, string>,
  writeFile?: FileWriter,
): Promise<string> {
  const read = async ({ name }: StoredTensor) => {
    const data = await executor.read(name);
    checkFinite(name, data);
    return data;
  };
  return writeTensors(path, storedTensors(model), metadata, read, writeFile);
}

/** Bytes of tensors that were written and may wait to be freed: saves come where training has its peak. */
const WAITING_BYTES = 4e6;

/** A tensor as a file stores it. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: Shape;
}

/** Writes a safetensors file, one tensor after the other as `read` gives them; returns its SHA-256. */
export async function writeTensors(
  path: string,
  tensors: readonly StoredTensor[],
  metadata: ReadonlyMap<string, string>,
  read: (tensor: StoredTensor) => Promise<HostData>,
  writeFile: FileWriter = replaceFile,
): Promise<string> {
  const { prefix, ordered } = safetensorsPrefix(tensors, metadata);
  const garbage = new Garbage(WAITING_BYTES);
  const hash = createHash('sha256');
  await writeFile(path, async (descriptor) => {
    const put = (bytes: Uint8Array) => {
      hash.update(bytes);
      writeAll(descriptor, bytes);
    };
    put(prefix);
    for (const tensor of ordered) {
      const data = await read(tensor);
      put(safetensorsData({ ...tensor, data }));
      garbage.dropped(data.byteLength);
    }
  });
  return hash.digest('hex');
}

export function storedTensors({ graph }: ModelGraph): readonly StoredTensor[] {
  return checkpointed(graph).map(stored);
}

/** How a file stores a tensor of the IR. */
export function stored({
  name,
  type,
}: {
  readonly name: string;
  readonly type: TensorType;
}): StoredTensor {
  return { name, dtype: STORED[type.dtype], shape: type.shape };
}

/** How a file stores each dtype of the IR. */
export const STORED = {
  f32: 'F32',
  i32: 'I32',
  i8: 'I8',
} as const satisfies Record<DType, SafetensorsDtype>;

function cannotOpen(path: string, got: string): FormatError {
  const todo = 'Check the path';
  return new FormatError({ where: path, expected: 'a safetensors file', got, todo });
}

/** The header of an open file. */
export function readHeader(path: string, descriptor: number): SafetensorsHeader {
  const { size } = fstatSync(descriptor);
  const start = readBytes(path, descriptor, 0, Math.min(8, size));
  const end = safetensorsHeaderEnd(start, size);
  return readSafetensorsHeader(readBytes(path, descriptor, 0, end), size);
}

function readTensor<T>(
  path: string,
  descriptor: number,
  header: SafetensorsHeader,
  name: string,
  contents: (view: TensorView) => T,
): T {
  const info = header.tensors.get(name);
  if (!info) throw cannotOpen(path, `no tensor ${name}`);
  try {
    return contents(new TensorView(info, readBytes(path, descriptor, info.begin, info.end)));
  } catch (error) {
    throw naming(path, error);
  }
}

function integersOf(view: TensorView, dtype: IntegerDType): IntegerArray {
  return dtype === 'i8' ? view.toInt8() : view.toInt32();
}

function readBytes(path: string, descriptor: number, begin: number, end: number): Uint8Array {
  const bytes = new Uint8Array(end - begin);
  for (let done = 0; done < bytes.length;) {
    const count = readSync(descriptor, bytes, done, bytes.length - done, begin + done);
    if (count === 0) throw cannotOpen(path, `a file that ends at byte ${String(begin + done)}`);
    done += count;
  }
  return bytes;
}

/** The error with the file's name in front of the place. */
function naming(path: string, error: unknown): unknown {
  if (!(error instanceof ThimbleError) || error.parts.where.includes(path)) return error;
  return new FormatError({ ...error.parts, where: `${path}, ${error.parts.where}` });
}

/** Throws TrainingError. */
export function checkFinite(name: string, data: HostData): void {
  const at = firstNotFinite(data);
  if (at < 0) return;
  throw new TrainingError({
    where: `tensor ${name}`,
    expected: 'finite values',
    got: `${String(data[at])} at element ${String(at)}`,
    todo: 'Lower --lr, or clip gradients with --clip 1',
  });
}
