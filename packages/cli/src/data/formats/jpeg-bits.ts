/**
 * Huffman codes and the bits of a JPEG scan (ITU-T T.81, annexes C and F.2.2).
 *
 * In a scan the byte FF is followed by 00 where it is data; with anything else it is a marker, at which the scan's
 * data ends.
 */
import type { ImageBytes } from './bytes.js';

/** Codes of up to this length are found in one step. */
const SHORT = 9;

/** One table of codes: the symbol and the length of the code that bits begin with. */
export interface HuffmanTable {
  /** By the next SHORT bits: length × 256 + symbol; 0 where the code is longer. */
  readonly short: Uint16Array;
  /** By length, one more than the largest code of this length aligned to 16 bits; 0 where there is none. */
  readonly limit: Int32Array;
  /** By length, what to add to a code for its place in `symbols`. */
  readonly offset: Int32Array;
  readonly symbols: Uint8Array;
}

/**
 * The table that a DHT segment describes; null where the lengths are those of no code.
 *
 * @param counts how many codes there are of 1, 2, … 16 bits
 * @param symbols in the order of their codes
 */
export function huffmanTable(counts: Uint8Array, symbols: Uint8Array): HuffmanTable | null {
  const short = new Uint16Array(1 << SHORT);
  const limit = new Int32Array(17);
  const offset = new Int32Array(17);
  let code = 0;
  let place = 0;
  for (let length = 1; length <= 16; length++) {
    const count = counts[length - 1];
    offset[length] = place - code;
    if (code + count > 1 << length) return null;
    for (let index = 0; index < count; index++, code++, place++) {
      if (length > SHORT) continue;
      const first = code << (SHORT - length);
      short.fill((length << 8) | symbols[place], first, first + (1 << (SHORT - length)));
    }
    if (count > 0) limit[length] = code << (16 - length);
    code <<= 1;
  }
  return { short, limit, offset, symbols };
}

/** A table without codes. */
export const NO_CODES: HuffmanTable = {
  short: new Uint16Array(1 << SHORT),
  limit: new Int32Array(17),
  offset: new Int32Array(17),
  symbols: new Uint8Array(0),
};

/** Bytes FF in a row before something else. */
export const FILL_BYTES = 1 << 16;

/** What `symbol` returns for bits that begin no code; symbols have eight bits. */
export const NO_CODE = 0x100;

/** Reads the entropy-coded data between two markers. */
export class ScanBits {
  private readonly bytes: ImageBytes;
  /** What is there of the file from `start` on, and the place in it of the byte that is read next. */
  private window: Uint8Array;
  private start: number;
  private place = 0;
  /** The last `count` bits of `buffer` are still to be read, the last `added` of them are no data. */
  private buffer = 0;
  private count = 0;
  private added = 0;
  /** A marker was met, or the end of the file. */
  private ended = false;

  constructor(bytes: ImageBytes, at: number) {
    this.bytes = bytes;
    this.start = at;
    this.window = bytes.from(at);
  }

  /** Whether more bits were read than there are. */
  get isOver(): boolean {
    return this.added > this.count;
  }

  /** The symbol of the next code, or NO_CODE. */
  symbol(table: HuffmanTable): number {
    if (this.count < 16) this.fill();
    const next = (this.buffer >>> (this.count - 16)) & 0xffff;
    const found = table.short[next >> (16 - SHORT)];
    if (found === 0) return this.longSymbol(table, next);
    this.count -= found >> 8;
    return found & 0xff;
  }

  /** The next `count` bits, at most 16, as a number. */
  take(count: number): number {
    if (this.count < count) this.fill();
    this.count -= count;
    return (this.buffer >>> this.count) & ((1 << count) - 1);
  }

  skip(count: number): void {
    if (this.count < count) this.fill();
    this.count -= count;
  }

  /**
   * Ends the data: what is left of the last byte is padding. Returns where the marker is and how many whole bytes
   * there are before it, or just one more than `most`.
   */
  end(most: number): { readonly left: number; readonly marker: number } {
    let left = Math.max(0, this.count - this.added) >> 3;
    while (left <= most && this.next() >= 0) left++;
    return { left, marker: this.start + this.place };
  }

  private longSymbol({ limit, offset, symbols }: HuffmanTable, next: number): number {
    for (let length = SHORT + 1; length <= 16; length++) {
      if (next >= limit[length]) continue;
      this.count -= length;
      return symbols[(next >> (16 - length)) + offset[length]];
    }
    return NO_CODE;
  }

  /** Makes at least 25 bits ready. */
  private fill(): void {
    const { window } = this;
    let { buffer, count, place } = this;
    for (; count <= 24 && place < window.length && window[place] !== 0xff; count += 8) {
      buffer = (buffer << 8) | window[place++];
    }
    this.place = place;
    for (; count <= 24; count += 8) {
      const byte = this.next();
      if (byte < 0) this.added += 8;
      buffer = (buffer << 8) | Math.max(0, byte);
    }
    this.buffer = buffer;
    this.count = count;
  }

  /** The next byte of the data; -1 at a marker and at the end of the file. */
  private next(): number {
    if (this.ended) return -1;
    if (this.place >= this.window.length) {
      this.moveTo(this.start + this.place);
      this.ended = this.window.length === 0;
      if (this.ended) return -1;
    }
    const byte = this.window[this.place];
    if (byte !== 0xff) {
      this.place++;
      return byte;
    }
    if (this.window[this.place + 1] !== 0) return this.afterFill();
    this.place += 2;
    return byte;
  }

  /** The same at FF that is followed by something else than 00 here: further FF are passed over. */
  private afterFill(): number {
    const marker = this.start + this.place;
    let at = marker + 1;
    let code = this.bytes.from(at)[0];
    while (code === 0xff && at - marker < FILL_BYTES) code = this.bytes.from(++at)[0];
    this.ended = code !== 0;
    this.moveTo(this.ended ? marker : at + 1);
    return this.ended ? -1 : 0xff;
  }

  private moveTo(at: number): void {
    this.start = at;
    this.place = 0;
    this.window = this.bytes.from(at);
  }
}
