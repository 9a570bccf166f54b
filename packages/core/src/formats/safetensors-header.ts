/**
 * The header of a safetensors file, checked before anything else is believed.
 *
 * A file is: 8 bytes, little-endian length H of the header; H bytes of UTF-8 JSON; the tensors'
 * bytes. The JSON maps each tensor name to {dtype, shape, data_offsets: [begin, end]} (offsets
 * count from the end of the header) and, optionally, "__metadata__" to an object of strings.
 *
 * Invariant of a header that came through here: the tensors cover the data region from its first to
 * its last byte without a hole or an overlap, and each has exactly the bytes that its shape and
 * dtype need. Nothing is allocated by what the header claims, only by how long it really is; time and memory
 * grow with that length.
 *
 * Known limits: little-endian data only (the format has no other); no 8-bit or packed float dtypes.
 * Source: the format description and the validation rules of github.com/huggingface/safetensors.
 */

import { FormatError } from '../errors.js';
import { brief, isObject } from '../schema/index.js';
import {
  DOWNLOAD_AGAIN,
  EXPORT_AGAIN,
  headerEntries,
  headerError,
  isUnicode,
  nameTwice,
  type HeaderEntry,
} from './header-entries.js';

/** Bytes per element, in the order in which the official writer stores tensors: widest first. */
export const DTYPE_BYTES = {
  I64: 8,
  F64: 8,
  F32: 4,
  I32: 4,
  BF16: 2,
  F16: 2,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** The element types that a safetensors file may have. */
export type SafetensorsDtype = keyof typeof DTYPE_BYTES;

/** Where one tensor lies in its file. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  /** Empty for a scalar; a zero anywhere makes the tensor empty. */
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly begin: number;
  /** One past the last byte, counted from the start of the file. */
  readonly end: number;
}

/** What a safetensors file says before its data. */
export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  /** By name, in the order of their data. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Where the data region starts, in bytes from the start of the file. */
  readonly dataStart: number;
}

export const METADATA_KEY = '__metadata__';
export const LENGTH_BYTES = 8;
/** The official reader's limit. */
export const MAX_HEADER_BYTES = 100_000_000;
/** The largest published files, one of several with 700 GB together, have a hundred thousand. */
const MAX_TENSORS = 1_000_000;
/** Characters of a name and dimensions of a shape: far more than any library makes. */
const MAX_NAME = 1000;
const MAX_RANK = 64;
/** Characters of all metadata; trainers write their settings there, some hundred thousand at most. */
const MAX_METADATA = 16_000_000;

/**
 * Where the header ends, in bytes from the start of the file: how much of a large file must be read
 * before `readSafetensorsHeader` can be called.
 *
 * @param start at least the first 8 bytes of the file
 * @param fileBytes size of the whole file
 * @throws FormatError when the file is too short or the length cannot be true
 */
export function safetensorsHeaderEnd(start: Uint8Array, fileBytes: number): number {
  const where = 'safetensors length field';
  if (fileBytes < LENGTH_BYTES || start.byteLength < LENGTH_BYTES) {
    const got = `${Math.min(fileBytes, start.byteLength)} bytes`;
    throw new FormatError({
      where,
      expected: `at least ${LENGTH_BYTES} bytes`,
      got,
      todo: DOWNLOAD_AGAIN,
    });
  }
  const view = new DataView(start.buffer, start.byteOffset, LENGTH_BYTES);
  const headerBytes = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  if (headerBytes > MAX_HEADER_BYTES) {
    throw new FormatError({
      where,
      expected: `a header of at most ${MAX_HEADER_BYTES} bytes`,
      got: `${headerBytes}`,
      todo: DOWNLOAD_AGAIN,
    });
  }
  if (LENGTH_BYTES + headerBytes > fileBytes) {
    throw new FormatError({
      where,
      expected: `a header inside the file of ${fileBytes} bytes`,
      got: `a header of ${headerBytes} bytes`,
      todo: DOWNLOAD_AGAIN,
    });
  }
  return LENGTH_BYTES + headerBytes;
}

/**
 * Reads and checks the header of a file of which only the start is at hand.
 *
 * @param start the first bytes of the file, at least up to `safetensorsHeaderEnd`
 * @param fileBytes size of the whole file
 * @throws FormatError naming the tensor and the rule that is broken
 */
export function readSafetensorsHeader(start: Uint8Array, fileBytes: number): SafetensorsHeader {
  const dataStart = safetensorsHeaderEnd(start, fileBytes);
  if (start.byteLength < dataStart) {
    throw headerError(`its ${dataStart - LENGTH_BYTES} bytes`, 'fewer bytes', DOWNLOAD_AGAIN);
  }
  const text = textOf(start.subarray(LENGTH_BYTES, dataStart));
  const tensors = new Map<string, TensorInfo>();
  let metadata: ReadonlyMap<string, string> | null = null;
  for (const entry of headerEntries(text)) {
    const { name } = entry;
    if (tensors.has(name) || (name === METADATA_KEY && metadata)) throw nameTwice(name);
    if (name === METADATA_KEY) metadata = checkMetadata(entry.value);
    else tensors.set(name, checkEntry(entry, dataStart));
    if (tensors.size > MAX_TENSORS) throw tooMany();
  }
  const ordered = inOrder(tensors);
  checkCoverage(ordered.values(), dataStart, fileBytes);
  return { metadata: metadata ?? new Map(), tensors: ordered, dataStart };
}

/** The tensors in the order of their data, in which most writers list them. */
function inOrder(tensors: ReadonlyMap<string, TensorInfo>): ReadonlyMap<string, TensorInfo> {
  let before: TensorInfo | null = null;
  for (const info of tensors.values()) {
    if (before && compare(before, info) > 0) {
      return new Map([...tensors].sort(([, left], [, right]) => compare(left, right)));
    }
    before = info;
  }
  return tensors;
}

function compare(left: TensorInfo, right: TensorInfo): number {
  return left.begin - right.begin || left.end - right.end;
}

/** Number of elements of a shape, or null when a dimension or the product is not a safe integer. */
export function elementCount(shape: readonly number[]): number | null {
  let count = 1;
  for (const size of shape) {
    if (!isOffset(size)) return null;
    count *= size;
    if (!Number.isSafeInteger(count)) return null;
  }
  return count;
}

/** `tensor "name"` for messages, short and printable whatever the name is. */
export function tensorLabel(name: string): string {
  return `tensor ${brief(name)}`;
}

function textOf(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw headerError('UTF-8 text', 'bytes that are not UTF-8', DOWNLOAD_AGAIN);
  }
  if (text.startsWith('{')) return text;
  const got = text === '' ? 'nothing' : `text that starts with ${brief(text.slice(0, 1))}`;
  throw headerError('a JSON object', got, DOWNLOAD_AGAIN);
}

function checkMetadata(entry: unknown): ReadonlyMap<string, string> {
  if (!isObject(entry)) {
    throw headerError(`${METADATA_KEY} to be an object`, brief(entry), EXPORT_AGAIN);
  }
  const metadata = new Map<string, string>();
  let characters = 0;
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== 'string') {
      const got = `${brief(value)} under ${brief(key)}`;
      throw headerError(`strings in ${METADATA_KEY}`, got, EXPORT_AGAIN);
    }
    if (!isUnicode(key) || !isUnicode(value)) {
      throw headerError(`Unicode text in ${METADATA_KEY}`, 'a lone surrogate', EXPORT_AGAIN);
    }
    characters += key.length + value.length;
    metadata.set(key, value);
  }
  if (characters > MAX_METADATA) {
    const got = `${characters} characters`;
    throw headerError(`at most ${MAX_METADATA} characters in ${METADATA_KEY}`, got, DOWNLOAD_AGAIN);
  }
  return metadata;
}

const FIELDS = ['dtype', 'shape', 'data_offsets'];

function checkEntry({ name, value: entry, keys }: HeaderEntry, dataStart: number): TensorInfo {
  const fail = (expected: string, got: unknown): FormatError =>
    new FormatError({
      where: tensorLabel(name),
      expected,
      got: typeof got === 'string' ? got : brief(got),
      todo: EXPORT_AGAIN,
    });
  if (name.length > MAX_NAME) {
    throw fail(`a name of at most ${MAX_NAME} characters`, `${name.length}`);
  }
  if (!isObject(entry)) throw fail(`an object with dtype, shape and data_offsets`, entry);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (keys > FIELDS.length || !FIELDS.every((field) => Object.hasOwn(entry, field))) {
    const extra = Object.keys(entry).find((key) => !FIELDS.includes(key));
    if (extra !== undefined) throw fail('only dtype, shape and data_offsets', brief(extra));
  }
  if (!isDtype(dtype)) {
    throw fail(`a dtype among ${Object.keys(DTYPE_BYTES).join(' ')}`, brief(dtype));
  }
  if (!isNumberArray(shape)) throw fail('a shape of integers', shape);
  if (shape.length > MAX_RANK) {
    throw fail(`at most ${MAX_RANK} dimensions`, `${shape.length}`);
  }
  const count = elementCount(shape);
  if (count === null) {
    throw fail('a shape of integers from 0 with a product below 2^53', shape);
  }
  if (!isNumberArray(offsets) || offsets.length !== 2 || !offsets.every(isOffset)) {
    throw fail('data_offsets of two integers from 0', offsets);
  }
  const [begin = 0, end = 0] = offsets;
  if (begin > end) throw fail('data_offsets in ascending order', offsets);
  const bytes = count * DTYPE_BYTES[dtype];
  if (end - begin !== bytes) {
    throw fail(`${bytes} bytes for ${dtype} ${brief(shape)}`, `${end - begin} bytes`);
  }
  return { name, dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

/** Every byte of the data region belongs to exactly one tensor; they come in file order. */
function checkCoverage(tensors: Iterable<TensorInfo>, dataStart: number, fileBytes: number): void {
  let covered = dataStart;
  for (const { name, begin, end } of tensors) {
    if (begin !== covered) {
      throw new FormatError({
        where: tensorLabel(name),
        expected: `data from byte ${covered} of the file on, where the tensor before it ends`,
        got: begin < covered ? `an overlap from byte ${begin} on` : `a hole up to byte ${begin}`,
        todo: EXPORT_AGAIN,
      });
    }
    if (end > fileBytes) {
      throw new FormatError({
        where: tensorLabel(name),
        expected: `data up to byte ${end} of the file`,
        got: `a file of ${fileBytes} bytes`,
        todo: 'The file is cut short; download or copy it again',
      });
    }
    covered = end;
  }
  if (covered !== fileBytes) {
    throw new FormatError({
      where: 'safetensors data',
      expected: `the file to end with its last tensor at byte ${covered}`,
      got: `${fileBytes - covered} more bytes`,
      todo: DOWNLOAD_AGAIN,
    });
  }
}

function tooMany(): FormatError {
  const got = `more than ${MAX_TENSORS}`;
  return headerError(`at most ${MAX_TENSORS} tensors`, got, DOWNLOAD_AGAIN);
}

function isDtype(value: unknown): value is SafetensorsDtype {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BYTES, value);
}

function isNumberArray(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'number');
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
