/**
 * safetensors: named tensors in one file. Bytes in, bytes out; disks and networks are the caller's.
 *
 * Reading checks everything (see `safetensors-header.ts`) and copies nothing: a `TensorView` is a
 * window on the file's bytes until one of its conversions is called. A file too large to hold is
 * read in parts:
 *
 *     const end = safetensorsHeaderEnd(first8Bytes, fileBytes);
 *     const header = readSafetensorsHeader(firstBytes, fileBytes);      // firstBytes: 0..end
 *     for (const info of header.tensors.values())
 *       use(new TensorView(info, readBytes(info.begin, info.end)).toFloat32());
 *
 * Writing, whole or in parts (`safetensorsPrefix`), is a function of its arguments alone, and byte-identical to the official writer: widest
 * dtype first, then by name, so that every tensor is aligned to its element size.
 */

import { FormatError } from '../errors.js';
import { DECODE, ENCODE, INTEGER_RANGE, isFloat } from './elements.js';
import { bfloat16Words, float16Floats, float16Words } from './float16.js';
import { isUnicode } from './header-entries.js';
import {
  DTYPE_BYTES,
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  METADATA_KEY,
  elementCount,
  readSafetensorsHeader,
  tensorLabel,
} from './safetensors-header.js';
import type { SafetensorsDtype, TensorInfo } from './safetensors-header.js';

/** A safetensors file in memory; tensors are views of its bytes. */
export interface SafetensorsFile {
  readonly metadata: ReadonlyMap<string, string>;
  /** By name, in the order of their data. */
  readonly tensors: ReadonlyMap<string, TensorView>;
}

/** What a header says of a tensor. */
export interface TensorShape {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
}

/** What the writer takes: numbers to encode, or bytes that are encoded already (a `TensorView`). */
export type TensorSource = TensorShape &
  ({ readonly data: ArrayLike<number> } | { readonly bytes: Uint8Array });

/**
 * Reads a whole file; the tensors are views on `bytes`.
 *
 * @throws FormatError naming the tensor and the rule that is broken
 */
export function readSafetensors(bytes: Uint8Array): SafetensorsFile {
  const header = readSafetensorsHeader(bytes, bytes.byteLength);
  const tensors = new Map<string, TensorView>();
  for (const info of header.tensors.values()) {
    tensors.set(info.name, new TensorView(info, bytes.subarray(info.begin, info.end)));
  }
  return { metadata: header.metadata, tensors };
}

/** One tensor of a file: its type and its bytes, converted on demand. */
export class TensorView {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly length: number;
  /** Little-endian elements in row-major order; may start at any address. */
  readonly bytes: Uint8Array;

  /**
   * @param bytes the bytes `info.begin` to `info.end` of the file
   * @throws FormatError when there are more or fewer
   */
  constructor(info: TensorInfo, bytes: Uint8Array) {
    if (bytes.byteLength !== info.end - info.begin) {
      throw new FormatError({
        where: tensorLabel(info.name),
        expected: `its ${info.end - info.begin} bytes`,
        got: `${bytes.byteLength} bytes`,
        todo: 'Read exactly the bytes between begin and end',
      });
    }
    this.name = info.name;
    this.dtype = info.dtype;
    this.shape = info.shape;
    this.length = bytes.byteLength / DTYPE_BYTES[info.dtype];
    this.bytes = bytes;
  }

  /** A new array of the elements, F64 rounded. Throws FormatError unless the dtype is a float. */
  toFloat32(): Float32Array {
    if (this.dtype === 'F16' && isLittleEndian()) return float16Floats(this.bytes);
    return this.#decode(new Float32Array(this.#floatLength()));
  }

  /**
   * The elements without a copy where that can be had: aligned F32 on a machine of the file's byte
   * order. Elsewhere `toFloat32`.
   */
  asFloat32(): Float32Array {
    const aligned = this.bytes.byteOffset % DTYPE_BYTES.F32 === 0;
    if (this.dtype !== 'F32' || !aligned || !isLittleEndian()) return this.toFloat32();
    return new Float32Array(this.bytes.buffer, this.bytes.byteOffset, this.length);
  }

  /** A new array of the elements, exact. Throws FormatError unless the dtype is a float. */
  toFloat64(): Float64Array {
    return this.#decode(new Float64Array(this.#floatLength()));
  }

  /** A new array of the elements. Throws FormatError for floats, and where an element does not fit. */
  toInt32(): Int32Array<ArrayBuffer> {
    if (isFloat(this.dtype)) throw this.#wrongDtype('an integer dtype', 'toFloat32');
    return this.#decode(new Int32Array(this.length), 32);
  }

  /** A new array of the elements. Throws FormatError for floats, and where an element does not fit. */
  toInt8(): Int8Array<ArrayBuffer> {
    if (isFloat(this.dtype)) throw this.#wrongDtype('an integer dtype', 'toFloat32');
    return this.#decode(new Int8Array(this.length), 8);
  }

  #floatLength(): number {
    if (!isFloat(this.dtype)) throw this.#wrongDtype('a float dtype', 'toInt32');
    return this.length;
  }

  /** @param bits of the integers that `values` holds; absent for floats */
  #decode<Values extends Float32Array | Float64Array | Int32Array | Int8Array>(
    values: Values,
    bits?: number,
  ): Values {
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    const elementBytes = DTYPE_BYTES[this.dtype];
    const decode = DECODE[this.dtype];
    const bound = bits === undefined ? Infinity : 2 ** (bits - 1);
    for (let index = 0; index < values.length; index++) {
      const value = decode(view, index * elementBytes);
      if (bits !== undefined && !(value >= -bound && value < bound)) {
        throw new FormatError({
          where: tensorLabel(this.name),
          expected: `integers of ${bits} bits`,
          got: `${value} at element ${index}`,
          todo: 'Store the tensor with smaller values',
        });
      }
      values[index] = value;
    }
    return values;
  }

  #wrongDtype(expected: string, instead: string): FormatError {
    return new FormatError({
      where: tensorLabel(this.name),
      expected,
      got: this.dtype,
      todo: `Use ${instead}, or store the tensor in another dtype`,
    });
  }
}

/**
 * Writes a file: the tensors in the official order, whatever order they come in.
 *
 * @param tensors `data` is rounded to nearest even for float dtypes, and exact for integer ones
 * @throws FormatError for a name used twice, data that do not match the shape, a bad integer, or a finite number
 * that the dtype cannot hold
 */
export function writeSafetensors(
  tensors: Iterable<TensorSource>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  const { prefix, ordered } = safetensorsPrefix(tensors, metadata);
  for (const tensor of ordered) checkLength(tensor);
  const dataBytes = ordered.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  const file = new Uint8Array(prefix.byteLength + dataBytes);
  file.set(prefix);
  let begin = prefix.byteLength;
  for (const tensor of ordered) {
    const end = begin + byteLength(tensor);
    encodeTensor(tensor, file.subarray(begin, end));
    begin = end;
  }
  return file;
}

/**
 * What comes before the data, and the order in which the data follow; each tensor's are then
 * `safetensorsData`. Writes a file in parts that is too large to hold.
 *
 * @throws FormatError as `writeSafetensors`
 */
export function safetensorsPrefix<T extends TensorShape>(
  tensors: Iterable<T>,
  metadata: ReadonlyMap<string, string> = new Map(),
): { readonly prefix: Uint8Array; readonly ordered: readonly T[] } {
  const ordered = [...tensors].sort(compareTensors);
  const header = encodeHeader(ordered, metadata);
  const prefix = new Uint8Array(LENGTH_BYTES + header.byteLength);
  new DataView(prefix.buffer).setUint32(0, header.byteLength, true); // below 2^32: the limit is 10^8
  prefix.set(header, LENGTH_BYTES);
  return { prefix, ordered };
}

/**
 * The bytes of one tensor's data, without a copy where it has them. Throws FormatError as
 * `writeSafetensors`.
 */
export function safetensorsData(tensor: TensorSource): Uint8Array {
  checkLength(tensor);
  if ('bytes' in tensor) return tensor.bytes;
  const { data, dtype } = tensor;
  if (dtype === 'F32' && data instanceof Float32Array && isLittleEndian()) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  const isHalf = dtype === 'F16' || dtype === 'BF16';
  if (isHalf && data instanceof Float32Array && isLittleEndian()) {
    return halfData(tensor, dtype, data);
  }
  const bytes = new Uint8Array(byteLength(tensor));
  encodeTensor(tensor, bytes);
  return bytes;
}

/** True where an array of numbers has the byte order of the file. */
function isLittleEndian(): boolean {
  return new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
}

const WRITE_ORDER: readonly string[] = Object.keys(DTYPE_BYTES);

function byteLength(tensor: TensorSource): number {
  if ('bytes' in tensor) return tensor.bytes.byteLength;
  return tensor.data.length * DTYPE_BYTES[tensor.dtype];
}

function compareTensors(left: TensorShape, right: TensorShape): number {
  const byDtype = WRITE_ORDER.indexOf(left.dtype) - WRITE_ORDER.indexOf(right.dtype);
  return byDtype || compareCodePoints(left.name, right.name);
}

/** The order of the UTF-8 bytes, which `<` on strings is not beyond the basic plane. */
function compareCodePoints(left: string, right: string): number {
  const leftPoints = [...left];
  const rightPoints = [...right];
  const shared = Math.min(leftPoints.length, rightPoints.length);
  for (let index = 0; index < shared; index++) {
    const order = codePoint(leftPoints, index) - codePoint(rightPoints, index);
    if (order !== 0) return order;
  }
  return leftPoints.length - rightPoints.length;
}

function codePoint(characters: readonly string[], index: number): number {
  return characters[index]?.codePointAt(0) ?? -1;
}

/** The JSON, padded with spaces so that the data starts at a multiple of 8 bytes. */
function encodeHeader(
  ordered: readonly TensorShape[],
  metadata: ReadonlyMap<string, string>,
): Uint8Array {
  const entries: string[] = [];
  if (metadata.size > 0) {
    const sorted = [...metadata].sort(([left], [right]) => compareCodePoints(left, right));
    const pairs = sorted.map(([key, value]) => `${quote(key)}:${quote(value)}`);
    entries.push(`"${METADATA_KEY}":{${pairs.join(',')}}`);
  }
  const names = new Set<string>([METADATA_KEY]);
  let begin = 0;
  for (const tensor of ordered) {
    const count = checkShape(tensor, names);
    const { name, dtype, shape } = tensor;
    const end = begin + count * DTYPE_BYTES[dtype];
    const entry = JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
    entries.push(`${quote(name)}:${entry}`);
    begin = end;
  }
  const json = new TextEncoder().encode(`{${entries.join(',')}}`);
  const padded = new Uint8Array(Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  padded.set(json);
  if (padded.byteLength > MAX_HEADER_BYTES) {
    throw new FormatError({
      where: 'safetensors header',
      expected: `at most ${MAX_HEADER_BYTES} bytes`,
      got: `${padded.byteLength} bytes`,
      todo: 'Write fewer tensors or less metadata into one file',
    });
  }
  return padded;
}

/** Number of elements of a tensor whose name is new. */
function checkShape(tensor: TensorShape, names: Set<string>): number {
  if (names.has(tensor.name)) {
    throw badSource(tensor, 'a name of its own', 'a name that is taken', 'Rename one of the two');
  }
  names.add(tensor.name);
  const count = elementCount(tensor.shape);
  if (count !== null) return count;
  const shape = `[${tensor.shape.join(', ')}]`;
  throw badSource(tensor, 'a shape of integers from 0', shape, 'Correct the shape');
}

function checkLength(tensor: TensorSource): void {
  const expected = elementCount(tensor.shape);
  const count = byteLength(tensor) / DTYPE_BYTES[tensor.dtype];
  if (count === expected) return;
  throw badSource(
    tensor,
    `${expected ?? 0} elements for [${tensor.shape.join(', ')}]`,
    `${count}`,
    'Pass as many values as the shape has',
  );
}

function badSource(tensor: TensorShape, expected: string, got: string, todo: string): FormatError {
  return new FormatError({ where: tensorLabel(tensor.name), expected, got, todo });
}

function encodeTensor(tensor: TensorSource, target: Uint8Array): void {
  if ('bytes' in tensor) {
    target.set(tensor.bytes);
    return;
  }
  const { dtype, data } = tensor;
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  const range = INTEGER_RANGE[dtype];
  const encode = ENCODE[dtype];
  for (let index = 0; index < data.length; index++) {
    const value = data[index] ?? NaN;
    if (range !== null && !(Number.isInteger(value) && value >= range[0] && value <= range[1])) {
      throw new FormatError({
        where: tensorLabel(tensor.name),
        expected: `integers from ${range[0]} to ${range[1]} for ${dtype}`,
        got: `${value} at element ${index}`,
        todo: 'Round the values or use another dtype',
      });
    }
    const offset = index * DTYPE_BYTES[dtype];
    encode(view, offset, value);
    if (!Number.isFinite(DECODE[dtype](view, offset)) && Number.isFinite(value)) {
      throw beyond(tensor, value, index);
    }
  }
}

function halfData(tensor: TensorShape, dtype: 'F16' | 'BF16', data: Float32Array): Uint8Array {
  const words = dtype === 'F16' ? float16Words(data) : bfloat16Words(data);
  const infinity = dtype === 'F16' ? 0x7c00 : 0x7f80; // all bits of the exponent
  for (let i = 0; i < words.length; i++) {
    if ((words[i] & 0x7fff) !== infinity || !Number.isFinite(data[i])) continue;
    throw beyond(tensor, data[i], i);
  }
  return new Uint8Array(words.buffer);
}

/** Infinity may be written, but nothing becomes it. */
function beyond(tensor: TensorShape, value: number, index: number): FormatError {
  return new FormatError({
    where: tensorLabel(tensor.name),
    expected: `values that ${tensor.dtype} can hold`,
    got: `${String(value)} at element ${String(index)}, which would be infinite`,
    todo: 'Write it in a dtype with a larger range: F32',
    options: ['dtype'],
  });
}

function quote(text: string): string {
  if (isUnicode(text)) return JSON.stringify(text);
  throw new FormatError({
    where: 'safetensors header',
    expected: 'names and metadata that are Unicode text',
    got: `a lone surrogate in ${JSON.stringify(text)}`,
    todo: 'Rename the tensor or clean the metadata',
  });
}
