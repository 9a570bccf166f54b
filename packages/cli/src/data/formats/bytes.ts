/**
 * The bytes of an image file, read in windows: what looks at a file holds a window of it, whatever its
 * size.
 */
import { DataError } from '@thimble/core';
import { counted } from '../../terminal/format.js';

/** Bytes that are read at once: of a whole file, and where only a header is looked for. */
export const WINDOW = { file: 1 << 16, header: 1 << 12 } as const;

/** Something with bytes at places. */
export interface ByteSource {
  readonly size: number;
  /** Fills `into` from `at` on as far as there are bytes; returns how many. */
  read(into: Uint8Array, at: number): number;
}

export class ImageBytes {
  readonly size: number;
  /** What errors call the file. */
  private readonly where: string;
  private readonly source: ByteSource;
  private window: Uint8Array;
  private start = 0;
  private length = 0;

  /** @param windowBytes that are read at once */
  constructor(where: string, source: ByteSource, windowBytes: number = WINDOW.file) {
    this.where = where;
    this.source = source;
    this.size = source.size;
    this.window = new Uint8Array(Math.min(windowBytes, source.size));
  }

  /** What is there from `at` on: a byte at least, but at the end. Valid until the next call. */
  from(at: number): Uint8Array {
    if (at < this.start || at >= this.start + this.length) this.load(at);
    return this.window.subarray(at - this.start, this.length);
  }

  /**
   * `count` bytes, at most 65536. Valid until the next call. Throws DataError where the file ends before.
   *
   * @param what they are part of
   */
  take(at: number, count: number, what: string): Uint8Array {
    if (at < this.start || at + count > this.start + this.length) {
      if (count > this.window.length) this.window = new Uint8Array(WINDOW.file);
      this.load(at);
    }
    if (count > this.length) return this.failShort(what);
    return this.window.subarray(at - this.start, at - this.start + count);
  }

  /** Throws the DataError of a file that ends within `what`. */
  failShort(what: string): never {
    return this.fail(`a file that ends after ${counted(this.size, 'byte')}, within ${what}`);
  }

  /** Throws the DataError of this file. @param todo the default is for what is damaged */
  fail(got: string, todo?: string): never {
    throw imageError(this.where, got, todo);
  }

  private load(at: number): void {
    this.start = at;
    this.length = at < this.size ? this.source.read(this.window, at) : 0;
  }
}

/** The error of a file that cannot be used. @param todo the default is for what is damaged */
export function imageError(
  where: string,
  got: string,
  todo = 'Replace or remove the file',
): DataError {
  return new DataError({ where, expected: 'a complete JPEG, PNG or WebP image', got, todo });
}

/** Bytes in memory. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read: (into, at) => {
      const found = bytes.subarray(at, at + into.length);
      into.set(found);
      return found.length;
    },
  };
}

/** Whole numbers of two, three and four bytes, the most significant first and last. */
export function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}
export function uint32(bytes: Uint8Array, at: number): number {
  return uint16(bytes, at) * 65536 + uint16(bytes, at + 2);
}
export function uint24Little(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
}
export function uint32Little(bytes: Uint8Array, at: number): number {
  return uint24Little(bytes, at) + bytes[at + 3] * 0x1000000;
}

/** Bytes as text, one character each. */
export function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
