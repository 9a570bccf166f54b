/**
 * JPEG files (ITU-T T.81, annex B): the header, and whether all of the image is there.
 *
 * Not looked into: arithmetic codes, lossless and hierarchical frames, samples of 12 bits, and scans whose Huffman
 * tables are not in the file (Motion JPEG). Whether such a file is read is left to the decoder.
 */
import { uint16, type ImageBytes } from './bytes.js';
import { MAX_METADATA_BYTES, TOO_MUCH_METADATA, type ImageReader } from './header.js';
import { FILL_BYTES, huffmanTable, NO_CODES, type HuffmanTable } from './jpeg-bits.js';
import { jpegHeader, readFrame, type JpegComponent, type JpegFrame } from './jpeg-frame.js';
import { passScan, walkScan, type Scan, type ScanPart } from './jpeg-scan.js';

/** Second bytes of markers (table B.1). */
const SOF = 0xc0;
const DHT = 0xc4;
const JPG = 0xc8;
const DAC = 0xcc;
const RST = 0xd0;
const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const DQT = 0xdb;
const DRI = 0xdd;
const TEM = 0x01;

/** Bytes between segments that some cameras leave; damage leaves more. */
const STRAY_BYTES = 64;

/**
 * Blocks that all scans of a file together may go through; a scan and a table count as some, too. The largest photos
 * have 20 million. A small file of thousands of scans keeps a decoder busy for minutes.
 */
const MAX_BLOCKS = 1 << 25;
const PART_BLOCKS = 64;

/** Reads up to the first scan. Throws DataError. */
export function readJpeg(bytes: ImageBytes): ImageReader {
  const walk = new JpegWalk(bytes);
  const header = walk.header();
  return {
    header,
    check: () => {
      walk.rest();
    },
  };
}

/** What a scan's own segment says. */
interface ScanSegment {
  /** Numbers of the tables of means and of other coefficients. */
  readonly parts: readonly {
    readonly component: JpegComponent;
    readonly dc: number;
    readonly ac: number;
  }[];
  readonly from: number;
  readonly to: number;
  readonly low: number;
  readonly isRefinement: boolean;
}

/** Whether a marker's segment says something about the image. */
function isRead(marker: number): boolean {
  if (marker >= SOF && marker < RST) return marker !== JPG && marker !== DAC;
  return marker === SOS || marker === DQT || marker === DRI;
}

class JpegWalk {
  private readonly bytes: ImageBytes;
  private at = 2;
  private stray = 0;
  private fill = 0;
  private metadata = 0;
  private restart = 0;
  private blocks = 0;
  private frame: JpegFrame | null = null;
  /** By number: tables of means and of other coefficients, steps of means. */
  private readonly dc: (HuffmanTable | undefined)[] = [];
  private readonly ac: (HuffmanTable | undefined)[] = [];
  private readonly steps: (number | undefined)[] = [];
  private readonly known = new Map<JpegComponent, Uint32Array>();
  private readonly seen = new Set<JpegComponent>();
  /** The scan that comes next. */
  private next: ScanSegment | null = null;

  constructor(bytes: ImageBytes) {
    this.bytes = bytes;
  }

  header(): ImageReader['header'] {
    this.next = this.segments();
    const { frame, next } = this;
    if (!frame || !next) return this.bytes.fail('a JPEG file without an image');
    const inScans = frame.isProgressive || next.parts.length < frame.components.length;
    return jpegHeader(frame, inScans, this.metadata);
  }

  /** The scans, up to the end marker. */
  rest(): void {
    const { frame } = this;
    if (!frame) return;
    for (; this.next; this.next = this.segments()) {
      const scan = this.scan(frame, this.next);
      this.at = scan ? walkScan(this.bytes, this.at, scan) : passScan(this.bytes, this.at);
    }
    const missing = frame.components.findIndex((component) => !this.seen.has(component));
    if (missing >= 0) this.bytes.fail(`a JPEG file without its colour ${String(missing + 1)}`);
  }

  /** Segments up to the next scan; null at the end marker. */
  private segments(): ScanSegment | null {
    for (;;) {
      const marker = this.marker();
      if (marker === EOI) return null;
      if ((marker >= RST && marker <= SOI) || marker === TEM) continue;
      const length = uint16(this.bytes.take(this.at, 2, 'a segment'), 0);
      if (length < 2) this.bytes.fail('a JPEG file with a segment of no length');
      const start = this.at + 2;
      this.at += length;
      this.metadata += length;
      if (this.metadata > MAX_METADATA_BYTES) this.bytes.fail(TOO_MUCH_METADATA);
      if (isRead(marker)) {
        const segment = this.bytes.take(start, length - 2, 'a segment');
        if (marker === SOS) return this.scanSegment(segment);
        this.read(marker, segment);
      }
    }
  }

  private read(marker: number, segment: Uint8Array): void {
    if (marker === DHT) this.readTables(segment);
    else if (marker === DQT) this.readSteps(segment);
    else if (marker === DRI) this.restart = uint16(segment, 0);
    else {
      if (this.frame) this.bytes.fail('a JPEG file with two frames');
      this.frame = readFrame(this.bytes, marker, segment);
    }
  }

  /** The next marker; passes over bytes that belong to none, as decoders do. */
  private marker(): number {
    for (let isMarker = false; ; this.at++) {
      const [byte] = this.bytes.from(this.at);
      if (byte === undefined) return this.bytes.failShort('its image: the end marker is missing');
      if (isMarker && byte !== 0 && byte !== 0xff) {
        this.at++;
        return byte;
      }
      if (byte !== 0xff) this.stray++;
      else if (isMarker) this.fill++;
      isMarker = byte === 0xff;
      if (this.stray > STRAY_BYTES || this.fill > FILL_BYTES) {
        this.bytes.fail('a JPEG file with bytes between its segments');
      }
    }
  }

  private readTables(segment: Uint8Array): void {
    for (let at = 0; at < segment.length;) {
      this.count(0);
      const number = segment[at];
      const counts = segment.slice(at + 1, at + 17);
      const total = counts.reduce((sum, count) => sum + count, 0);
      const symbols = segment.slice(at + 17, at + 17 + total);
      at += 17 + total;
      const table = symbols.length === total ? huffmanTable(counts, symbols) : null;
      if (!table) this.bytes.fail('a JPEG file with damaged Huffman tables');
      (number >> 4 === 0 ? this.dc : this.ac)[number & 15] = table;
    }
  }

  private readSteps(segment: Uint8Array): void {
    for (let at = 0; at < segment.length;) {
      const number = segment[at];
      const isWide = number >> 4 > 0;
      this.steps[number & 15] = isWide ? uint16(segment, at + 1) : segment[at + 1];
      at += 1 + 64 * (isWide ? 2 : 1);
      if (at > segment.length) this.bytes.fail('a JPEG file with a damaged quantisation table');
    }
  }

  private scanSegment(segment: Uint8Array): ScanSegment {
    const count = segment[0] ?? 0;
    if (count === 0 || segment.length < 4 + 2 * count)
      this.bytes.fail('a JPEG file with a damaged scan');
    const parts = Array.from({ length: count }, (_, index) => {
      const [id, tables] = segment.subarray(1 + 2 * index, 3 + 2 * index);
      const component = this.frame?.components.find((each) => each.id === id);
      if (!component)
        return this.bytes.fail('a JPEG file with a scan of a colour that it does not have');
      return { component, dc: tables >> 4, ac: tables & 15 };
    });
    const [from, to, bits] = segment.subarray(1 + 2 * count);
    return { parts, from, to, low: bits & 15, isRefinement: bits >> 4 > 0 };
  }

  /** A scan with its tables; null where it is not looked into. */
  private scan(frame: JpegFrame, { parts, ...band }: ScanSegment): Scan | null {
    const { isProgressive, isUsual } = frame;
    const isOfMeans = !isProgressive || band.from === 0;
    const [{ component: first }] = parts;
    const units = parts.length === 1 ? first.columns * first.rows : frame.units;
    this.count(parts.length === 1 ? units : blocksIn(parts) * units);
    if (isOfMeans) for (const { component } of parts) this.seen.add(component);
    if (!isUsual) return null;
    if (isProgressive) this.checkBand(band, parts.length);
    const needsDc = isOfMeans && !(isProgressive && band.isRefinement);
    const needsAc = !(isProgressive && isOfMeans);
    const found: ScanPart[] = [];
    for (const { component, dc, ac } of parts) {
      const means = needsDc ? this.dc[dc] : NO_CODES;
      const others = needsAc ? this.ac[ac] : NO_CODES;
      if (!means || !others) return null;
      const known = isProgressive && needsAc ? this.knownOf(component) : NOTHING;
      const step = this.steps[component.quantisation] ?? 1;
      found.push({ component, dc: means, ac: others, step, known });
    }
    return { parts: found, isProgressive, ...band, units, restart: this.restart };
  }

  private checkBand({ from, to }: Omit<ScanSegment, 'parts'>, parts: number): void {
    if (from === 0 ? to === 0 : from <= to && to < 64 && parts === 1) return;
    this.bytes.fail('a JPEG file with a damaged scan');
  }

  private count(blocks: number): void {
    this.blocks += blocks + PART_BLOCKS;
    if (this.blocks <= MAX_BLOCKS) return;
    this.bytes.fail(
      `a JPEG file whose scans go over more than ${String(MAX_BLOCKS)} blocks of pixels`,
      'Save it again, without progressive scans',
    );
  }

  private knownOf(component: JpegComponent): Uint32Array {
    const known =
      this.known.get(component) ?? new Uint32Array(2 * component.columns * component.rows);
    this.known.set(component, known);
    return known;
  }
}

const NOTHING = new Uint32Array(0);

/** Blocks of an MCU. */
function blocksIn(parts: ScanSegment['parts']): number {
  return parts.reduce((sum, { component: { h, v } }) => sum + h * v, 0);
}
