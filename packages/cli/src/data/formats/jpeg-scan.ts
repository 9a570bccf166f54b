/**
 * The blocks of a JPEG scan, walked without computing a pixel (ITU-T T.81, annexes A.2, F.2 and G.2): whether its
 * data is exactly that of the blocks that the frame has. Decoders do not ask: they fill up with grey what is
 * missing and pass over what is too much.
 *
 * No encoder writes what is refused: bits that are no code, a coefficient behind the last one, a mean that no
 * pixels have, blocks without data, data without blocks. A changed bit is often nothing of this: it moves a few
 * levels, and codes find their step again.
 *
 *   MCU    minimum coded unit: h × v blocks of each component, or one block where a scan has one component
 *   band   coefficients `from … to` of a block in zigzag order; number 0 is its mean (DC)
 */
import { percent } from '../../terminal/format.js';
import type { ImageBytes } from './bytes.js';
import { NO_CODE, ScanBits, type HuffmanTable } from './jpeg-bits.js';
import type { JpegComponent } from './jpeg-frame.js';

/** A component in a scan. */
export interface ScanPart {
  readonly component: JpegComponent;
  /** Codes of the mean and of the other coefficients; where the scan has none of these, of anything. */
  readonly dc: HuffmanTable;
  readonly ac: HuffmanTable;
  /** Of the mean's quantisation. */
  readonly step: number;
  /** In a progressive frame: which coefficients are not zero, two words of 32 bits for each block. */
  readonly known: Uint32Array;
}

export interface Scan {
  readonly parts: readonly ScanPart[];
  readonly isProgressive: boolean;
  readonly from: number;
  readonly to: number;
  /** Lowest bits that are still to come when this scan is done. */
  readonly low: number;
  /** Whether higher bits came in an earlier scan. */
  readonly isRefinement: boolean;
  /** MCUs in all, and between restart markers (0: no such markers). */
  readonly units: number;
  readonly restart: number;
}

/** Bytes behind the data of a scan that some cameras leave; damage leaves more. */
const SPARE_BYTES = 64;

/** The largest mean of levels from −128 to 127, times 8, and the steps by which encoders round it wrong. */
const MEAN_LIMIT = 1024;
const MEAN_STEPS = 4;

/** Walks the scan whose data begins at `at`; returns where it ends. Throws DataError for damage. */
export function walkScan(bytes: ImageBytes, at: number, scan: Scan): number {
  const walk = new ScanWalk(bytes, at, scan);
  const end = walk.all();
  if (isNeverZero(scan)) checkZeros(bytes, at, end);
  return end;
}

/**
 * Zeros in a row that are damage where zero bits are coefficients: twenty or more of them, each the most negative
 * of its size, one after the other. Photos have five at most. They often pass for as many blocks as they replace.
 */
const ZEROS = new Uint8Array(64);

/** Whether zero bits are the code of a coefficient and not, as in a flat image, of the end of a block. */
function isNeverZero({ parts, isRefinement }: Scan): boolean {
  return !isRefinement && parts.some(({ ac }) => ac.symbols.length > 0 && (ac.symbols[0] & 15) > 0);
}

/** Throws DataError for a long run of zeros between two places. */
function checkZeros(bytes: ImageBytes, from: number, to: number): void {
  for (let at = from; at + ZEROS.length <= to;) {
    bytes.take(at, ZEROS.length, 'its image'); // what follows is in one window at least as far
    const { buffer, byteOffset, length } = bytes.from(at);
    const data = Buffer.from(buffer, byteOffset, Math.min(length, to - at));
    const found = data.indexOf(ZEROS);
    if (found >= 0) bytes.fail(`damaged image data: zeros from byte ${String(at + found)} on`);
    at += data.length - ZEROS.length + 1;
  }
}

/** The second byte of the first of eight restart markers. */
const RESTART = 0xd0;

/** The symbol of sixteen zeros. */
const SIXTEEN_ZEROS = 0xf0;

/** Passes over a scan that is not looked into; returns where it ends. */
export function passScan(bytes: ImageBytes, at: number): number {
  for (let start = at; ; start += 2) {
    start = new ScanBits(bytes, start).end(Infinity).marker;
    const isWithin = start + 2 <= bytes.size;
    if (!isWithin || !isRestart(bytes.take(start, 2, 'its image')[1])) return start;
  }
}

function isRestart(code: number): boolean {
  return code >= RESTART && code < RESTART + 8;
}

type BlockReader = (part: ScanPart, index: number, block: number) => void;

class ScanWalk {
  private readonly bytes: ImageBytes;
  private readonly scan: Scan;
  private readonly readBlock: BlockReader;
  /** By part: the mean of the block before, and the largest that there can be, in steps. */
  private readonly means: Int32Array;
  private readonly limits: readonly number[];
  private bits: ScanBits;
  /** MCUs that were read. */
  private done = 0;
  /** Blocks to come without coefficients of the band. */
  private run = 0;

  constructor(bytes: ImageBytes, at: number, scan: Scan) {
    this.bytes = bytes;
    this.scan = scan;
    this.means = new Int32Array(scan.parts.length);
    this.limits = scan.parts.map(({ step }) => MEAN_LIMIT / (step * 2 ** scan.low) + MEAN_STEPS);
    this.bits = new ScanBits(bytes, at);
    this.readBlock = this.blockReader();
  }

  all(): number {
    const { units, restart } = this.scan;
    const every = restart === 0 ? units : restart;
    for (let number = 0; ; number++) {
      const count = Math.min(every, units - this.done);
      this.stretch(count);
      const { left, marker } = this.bits.end(SPARE_BYTES);
      if (left > SPARE_BYTES) this.fail('more data than there are blocks for');
      if (this.done === units) return marker;
      this.bits = new ScanBits(this.bytes, this.behindRestart(marker, number & 7));
      this.means.fill(0);
      this.run = 0;
    }
  }

  /** The MCUs between two restart markers. */
  private stretch(count: number): void {
    const { parts } = this.scan;
    const [first] = parts;
    const end = this.done + count;
    for (; this.done < end; this.done++) {
      if (parts.length === 1) this.readBlock(first, 0, this.done);
      else this.unit();
      if (this.bits.isOver) this.fail('it ends');
    }
  }

  /** An MCU of several components. */
  private unit(): void {
    const { parts } = this.scan;
    for (let index = 0; index < parts.length; index++) {
      const part = parts[index];
      const { h, v } = part.component;
      for (let block = 0; block < h * v; block++) this.readBlock(part, index, 0);
    }
  }

  private behindRestart(marker: number, number: number): number {
    const [, code] = this.bytes.take(marker, 2, 'its image');
    if (code !== RESTART + number) {
      this.fail(`marker ${code.toString(16)} where restart marker ${String(number)} belongs`);
    }
    return marker + 2;
  }

  private blockReader(): BlockReader {
    const { isProgressive, from, isRefinement } = this.scan;
    if (!isProgressive) return this.wholeBlock.bind(this);
    if (from > 0) return isRefinement ? this.bandAgain.bind(this) : this.band.bind(this);
    return isRefinement ? this.meanAgain.bind(this) : this.mean.bind(this);
  }

  private wholeBlock(part: ScanPart, index: number): void {
    this.mean(part, index);
    const { bits } = this;
    for (let at = 1; at < 64; at++) {
      const symbol = bits.symbol(part.ac);
      const size = symbol & 15; // NO_CODE has none
      at += symbol >> 4;
      if (size > 0) {
        if (at > 63) this.behind();
        bits.skip(size);
      } else if (symbol === 0) return;
      else if (symbol !== SIXTEEN_ZEROS) this.noCode();
    }
  }

  private mean(part: ScanPart, index: number): void {
    const size = this.bits.symbol(part.dc);
    if (size === NO_CODE) this.noCode();
    if (size > 16) this.fail('a mean of too many bits');
    const value = this.bits.take(size);
    const negative = size > 0 && value < 1 << (size - 1);
    this.means[index] += negative ? value - (1 << size) + 1 : value;
    if (Math.abs(this.means[index]) > this.limits[index]) this.fail('a mean that no pixels have');
  }

  private meanAgain(): void {
    this.bits.skip(1);
  }

  /** A band for the first time. */
  private band({ ac, known }: ScanPart, _: number, block: number): void {
    if (this.run > 0) {
      this.run--;
      return;
    }
    const { bits } = this;
    const { from, to } = this.scan;
    for (let at = from; at <= to; at++) {
      const symbol = bits.symbol(ac);
      const size = symbol & 15;
      at += symbol >> 4;
      if (size > 0) {
        if (at > to) this.behind();
        bits.skip(size);
        known[2 * block + (at >> 5)] |= 1 << (at & 31);
      } else if (symbol === NO_CODE) this.noCode();
      else if (symbol !== SIXTEEN_ZEROS) {
        this.run = this.runLength(symbol >> 4) - 1;
        return;
      }
    }
  }

  /** Another bit of a band: of what is not zero yet, and what becomes so. */
  private bandAgain({ ac, known }: ScanPart, _: number, block: number): void {
    const { bits } = this;
    const { from, to } = this.scan;
    let at = from;
    for (; this.run === 0 && at <= to; at++) {
      const symbol = bits.symbol(ac);
      if (symbol === NO_CODE || (symbol & 15) > 1) this.noCode();
      const isNew = (symbol & 15) === 1;
      if (isNew) bits.skip(1);
      else if (symbol !== SIXTEEN_ZEROS) {
        this.run = this.runLength(symbol >> 4);
        break;
      }
      at = this.passZeros(known, block, at, symbol >> 4);
      if (!isNew) continue;
      if (at > to) this.behind();
      known[2 * block + (at >> 5)] |= 1 << (at & 31);
    }
    if (this.run === 0) return;
    this.passRest(known, block, at);
    this.run--;
  }

  /** The bits of what is not zero from `at` on. */
  private passRest(known: Uint32Array, block: number, at: number): void {
    const { to } = this.scan;
    const low = known[2 * block] & bitsBetween(at, to);
    const high = known[2 * block + 1] & bitsBetween(at - 32, to - 32);
    for (let left = countBits(low) + countBits(high); left > 0; left -= 16) {
      this.bits.skip(Math.min(16, left));
    }
  }

  /** The place of the zero behind `count` zeros from `at` on; what is not zero between them has a bit each. */
  private passZeros(known: Uint32Array, block: number, at: number, count: number): number {
    const { to } = this.scan;
    let zeros = count;
    let place = at;
    for (; place <= to; place++) {
      if ((known[2 * block + (place >> 5)] >>> (place & 31)) & 1) this.bits.skip(1);
      else if (zeros-- === 0) break;
    }
    return place;
  }

  /** Blocks of a run whose symbol has this upper half. */
  private runLength(power: number): number {
    return (1 << power) + this.bits.take(power);
  }

  private noCode(): never {
    return this.fail('bits that are no code');
  }

  private behind(): never {
    return this.fail('a coefficient behind the last one of its block');
  }

  private fail(what: string): never {
    const share = percent(this.done / this.scan.units);
    return this.bytes.fail(`damaged image data: after ${share} of it, ${what}`);
  }
}

/** A word of 32 bits with those of these numbers set, as far as it has them. */
function bitsBetween(first: number, last: number): number {
  const from = Math.max(0, first);
  const to = Math.min(31, last);
  return from > to ? 0 : (0xffffffff >>> (31 - to + from)) << from;
}

function countBits(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
