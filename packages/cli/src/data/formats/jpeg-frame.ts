/** The frame of a JPEG file (ITU-T T.81, annexes A.1 and B.2.2): size, components, and how they are coded. */
import { uint16, type ImageBytes } from './bytes.js';
import type { ImageHeader } from './header.js';

export interface JpegComponent {
  readonly id: number;
  /** Sampling factors. */
  readonly h: number;
  readonly v: number;
  /** The number of its quantisation table. */
  readonly quantisation: number;
  /** Blocks in a row and in a column, without those that only fill up a unit. */
  readonly columns: number;
  readonly rows: number;
}

export interface JpegFrame {
  /** Progressive: in several scans, each with a part of the bits. */
  readonly isProgressive: boolean;
  /** Huffman codes and blocks of 8-bit samples, as nearly all files have. */
  readonly isUsual: boolean;
  readonly width: number;
  readonly height: number;
  readonly components: readonly JpegComponent[];
  /** MCUs of a scan of several components. */
  readonly units: number;
}

/** Coefficients of a block, of two bytes, and the bits in which the check notes which are not zero. */
const BLOCK_BYTES = 64 * 2 + 64 / 8;

const BASELINE = 0xc0;
const EXTENDED = 0xc1;
const PROGRESSIVE = 0xc2;
const PROGRESSIVE_KINDS = [PROGRESSIVE, 0xc6, 0xca, 0xce];

/** Reads the segment behind a marker SOF. Throws DataError. */
export function readFrame(bytes: ImageBytes, marker: number, segment: Uint8Array): JpegFrame {
  const count = segment[5];
  if (segment.length < 6 || count === 0 || segment.length < 6 + 3 * count) {
    return bytes.fail('a JPEG file whose frame is cut short');
  }
  const height = uint16(segment, 1);
  const width = uint16(segment, 3);
  if (width === 0 || height === 0) {
    return bytes.fail(`a JPEG file of ${String(width)} × ${String(height)} pixels`);
  }
  const parts = Array.from({ length: count }, (_, index) => {
    const [id, factors, quantisation] = segment.subarray(6 + 3 * index, 9 + 3 * index);
    return { id, h: factors >> 4, v: factors & 15, quantisation };
  });
  if (parts.some(({ h, v }) => h < 1 || h > 4 || v < 1 || v > 4)) {
    return bytes.fail('a JPEG file with sampling factors that there are not');
  }
  const h = Math.max(...parts.map((part) => part.h));
  const v = Math.max(...parts.map((part) => part.v));
  return {
    isProgressive: PROGRESSIVE_KINDS.includes(marker),
    isUsual: [BASELINE, EXTENDED, PROGRESSIVE].includes(marker) && segment[0] === 8,
    width,
    height,
    components: parts.map((part) => ({
      ...part,
      columns: Math.ceil(Math.ceil((width * part.h) / h) / 8),
      rows: Math.ceil(Math.ceil((height * part.v) / v) / 8),
    })),
    units: Math.ceil(width / (8 * h)) * Math.ceil(height / (8 * v)),
  };
}

/**
 * @param inScans whether the image comes in several scans, of which a decoder keeps the coefficients
 * @param metadataBytes of the segments before the first scan
 */
export function jpegHeader(
  { isProgressive, width, height, components }: JpegFrame,
  inScans: boolean,
  metadataBytes: number,
): ImageHeader {
  const blocks = components.reduce((sum, { columns, rows }) => sum + columns * rows, 0);
  return {
    kind: isProgressive ? 'a progressive JPEG' : inScans ? 'a JPEG in several scans' : 'a JPEG',
    width,
    height,
    pixelBytes: components.length,
    frameBytes: 0,
    wholeBytes: inScans ? blocks * BLOCK_BYTES : 0,
    metadataBytes,
    halvingsLeft: 1,
  };
}
