/**
 * The header of a safetensors file, checked before anything else is believed.
 *
 * A file is: 8 bytes, little-endian length H of the header; H bytes of UTF-8 JSON; the tensors'
 * bytes. The JSON maps each tensor name to {dtype, shape, data_offsets: [begin, end]} (offsets
 * count from the end of the header) and, optionally, "__metadata__" to an object of strings.
 *
 * Invariant of a header that came through here: the tensors cover the data region from its first to
 * its last byte without a hole or an overlap, and each has exactly the bytes that its shape and
 * dtype need. Nothing is allocated by what the header claims, only by how long it really is.
 *
 * Known limits: little-endian data only (the format has no other); no 8-bit or packed float dtypes.
 * Source: the format description and the validation rules of github.com/huggingface/safetensors.
 */

import { FormatError } from '../errors.js';

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
/** Root object, tensor or metadata object, shape or offsets. */
const MAX_DEPTH = 3;
const DOWNLOAD_AGAIN = 'The file is damaged or is not safetensors; download or export it again';
const EXPORT_AGAIN = 'The program that wrote the file broke the format; export it again';

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
  const root = parseObject(start.subarray(LENGTH_BYTES, dataStart));
  const tensors: TensorInfo[] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, entry] of Object.entries(root)) {
    if (name === METADATA_KEY) metadata = checkMetadata(entry);
    else tensors.push(checkEntry(name, entry, dataStart));
  }
  tensors.sort((left, right) => left.begin - right.begin || left.end - right.end);
  checkCoverage(tensors, dataStart, fileBytes);
  return { metadata, tensors: new Map(tensors.map((info) => [info.name, info])), dataStart };
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

/** Whether the string has an encoding in UTF-8, which lone surrogates lack. */
export function isUnicode(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

type JsonObject = Readonly<Record<string, unknown>>;

function parseObject(bytes: Uint8Array): JsonObject {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw headerError('UTF-8 text', 'bytes that are not UTF-8', DOWNLOAD_AGAIN);
  }
  if (!text.startsWith('{')) {
    const got = text === '' ? 'nothing' : `text that starts with ${brief(text.slice(0, 1))}`;
    throw headerError('a JSON object', got, DOWNLOAD_AGAIN);
  }
  checkKeysAndDepth(text);
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    throw invalidJson();
  }
  if (!isObject(root)) throw invalidJson();
  return root;
}

/**
 * What `JSON.parse` lets through: a key used twice in one object, of which it keeps the last, and
 * deep nesting. Scans the text before it is parsed, once and without recursion, so it must stand
 * any input: a string is a key when a colon follows it, and all else is left for the parser to
 * judge.
 */
function checkKeysAndDepth(text: string): void {
  const openKeys: Set<string>[] = [];
  let lastString = '""';
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (character === '"') {
      const end = stringEnd(text, index);
      lastString = text.slice(index, end);
      index = end - 1;
    } else if (character === '{' || character === '[') {
      openKeys.push(new Set());
      if (openKeys.length > MAX_DEPTH) {
        throw headerError(`nesting of at most ${MAX_DEPTH} levels`, 'deeper nesting', EXPORT_AGAIN);
      }
    } else if (character === '}' || character === ']') {
      openKeys.pop();
    } else if (character === ':') {
      const key = decodeString(lastString);
      const keys = openKeys.at(-1);
      if (keys?.has(key)) {
        throw headerError('every name once', `${brief(key)} twice`, EXPORT_AGAIN);
      }
      keys?.add(key);
    }
  }
}

/** One past the closing quote of the string literal that opens at `start`. */
function stringEnd(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index++) {
    const character = text[index];
    if (character === '\\') index++;
    else if (character === '"') return index + 1;
  }
  return text.length;
}

/** A JSON string literal's value; by it "a" and "\u0061" are the same name. */
function decodeString(literal: string): string {
  let value: unknown;
  try {
    value = JSON.parse(literal);
  } catch {
    throw invalidJson();
  }
  if (typeof value !== 'string' || !isUnicode(value)) throw invalidJson();
  return value;
}

function checkMetadata(entry: unknown): ReadonlyMap<string, string> {
  if (!isObject(entry)) {
    throw headerError(`${METADATA_KEY} to be an object`, brief(entry), EXPORT_AGAIN);
  }
  const metadata = new Map<string, string>();
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== 'string') {
      const got = `${brief(value)} under ${brief(key)}`;
      throw headerError(`strings in ${METADATA_KEY}`, got, EXPORT_AGAIN);
    }
    metadata.set(key, value);
  }
  return metadata;
}

function checkEntry(name: string, entry: unknown, dataStart: number): TensorInfo {
  const fail = (expected: string, got: unknown): FormatError =>
    new FormatError({
      where: tensorLabel(name),
      expected,
      got: typeof got === 'string' ? got : brief(got),
      todo: EXPORT_AGAIN,
    });
  if (!isObject(entry)) throw fail('an object with dtype, shape and data_offsets', entry);
  const { dtype, shape, data_offsets: offsets, ...rest } = entry;
  const extra = Object.keys(rest)[0];
  if (extra !== undefined) throw fail('only dtype, shape and data_offsets', brief(extra));
  if (!isDtype(dtype)) {
    throw fail(`a dtype among ${Object.keys(DTYPE_BYTES).join(' ')}`, brief(dtype));
  }
  if (!isNumberArray(shape)) throw fail('a shape of integers', shape);
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
function checkCoverage(tensors: readonly TensorInfo[], dataStart: number, fileBytes: number): void {
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

function headerError(expected: string, got: string, todo: string): FormatError {
  return new FormatError({ where: 'safetensors header', expected, got, todo });
}

function invalidJson(): FormatError {
  return headerError('valid JSON', 'text that does not parse', DOWNLOAD_AGAIN);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
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

/** A value from the file in at most 60 characters; undefined, where a key is missing, as such. */
function brief(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`;
}
