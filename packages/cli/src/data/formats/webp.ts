/**
 * WebP files (RFC 9649): the header, and whether all of the image is there. The format has no checksums; damage in
 * the middle is found where it is a long run of zeros, as a lost block of a disk and a copy that was cut off leave.
 */
import { latin1, uint24Little, uint32Little, type ImageBytes } from './bytes.js';
import {
  MAX_CHUNKS,
  MAX_METADATA_BYTES,
  TOO_MUCH_METADATA,
  type ImageHeader,
  type ImageReader,
} from './header.js';

/** Bytes before the first chunk, of a chunk's name and length, and of a frame before its chunks. */
const FIRST = 12;
const BEFORE = 8;
const FRAME_BEFORE = 16;

/**
 * Zero bytes in a row that are no damage, at least and for each pixel. Photos have eleven at most, images of one
 * colour 1e-4 for each pixel: there a block of 16 × 16 pixels takes a fifth of a bit, and it is granted four bits.
 * A lossless pixel takes four bits where an encoder knows no repetitions: one for each channel.
 */
const USUAL_ZEROS = 64;
const LOSSY_ZEROS = 4 / 8 / 256;
const LOSSLESS_ZEROS = 4 / 8;

interface Chunk {
  readonly name: string;
  /** Where its data begins, and how long it is. */
  readonly at: number;
  readonly length: number;
}

/** What decoding reads: of an animation the first frame. */
interface Parts {
  image: Chunk | null;
  /** Of the canvas; 0 where there is only an image. */
  width: number;
  height: number;
  hasAlpha: boolean;
  metadataBytes: number;
}

/** Throws DataError. */
export function readWebp(bytes: ImageBytes): ImageReader {
  const parts: Parts = { image: null, width: 0, height: 0, hasAlpha: false, metadataBytes: 0 };
  for (const chunk of chunksOf(bytes)) note(bytes, chunk, parts);
  const { image } = parts;
  if (!image) return bytes.fail('a WebP file without an image');
  const header = headerOf(bytes, image, parts);
  return {
    header,
    check: () => {
      checkZeros(bytes, image, header);
    },
  };
}

function* chunksOf(bytes: ImageBytes): Generator<Chunk> {
  const end = Math.min(bytes.size, BEFORE + uint32Little(bytes.take(0, FIRST, 'its header'), 4));
  let count = 0;
  for (let at = FIRST; at + BEFORE <= end; count++) {
    if (count > MAX_CHUNKS) bytes.fail(`a WebP file of more than ${String(MAX_CHUNKS)} chunks`);
    const before = bytes.take(at, BEFORE, 'a chunk');
    const name = latin1(before.subarray(0, 4));
    const length = uint32Little(before, 4);
    if (at + BEFORE + length > bytes.size) bytes.failShort(`a chunk`);
    yield { name, at: at + BEFORE, length };
    // Chunks of a frame stand inside of it.
    at += BEFORE + (name === 'ANMF' ? FRAME_BEFORE : length + (length % 2));
  }
}

function note(bytes: ImageBytes, chunk: Chunk, parts: Parts): void {
  const { name, at, length } = chunk;
  if (name === 'VP8X') {
    const data = bytes.take(at, 10, 'its header');
    parts.hasAlpha ||= (data[0] & 0x10) !== 0;
    parts.width = uint24Little(data, 4) + 1;
    parts.height = uint24Little(data, 7) + 1;
  } else if (name === 'VP8 ' || name === 'VP8L') parts.image ??= chunk;
  else if (name === 'ALPH') parts.hasAlpha = true;
  else if (name === 'ICCP' || name === 'EXIF' || name === 'XMP ') {
    parts.metadataBytes += length;
    if (parts.metadataBytes > MAX_METADATA_BYTES) bytes.fail(TOO_MUCH_METADATA);
  }
}

function headerOf(bytes: ImageBytes, image: Chunk, parts: Parts): ImageHeader {
  const isLossless = image.name === 'VP8L';
  const start = bytes.take(image.at, 10, 'its header');
  // VP8L: a sign, then sides less one of 14 bits each, then whether there is alpha. VP8: after tag and start code.
  const sides = uint32Little(start, 1);
  const [width, height] = isLossless
    ? [(sides & 0x3fff) + 1, ((sides >>> 14) & 0x3fff) + 1]
    : [(start[6] | (start[7] << 8)) & 0x3fff, (start[8] | (start[9] << 8)) & 0x3fff];
  const wide = Math.max(width, parts.width);
  const high = Math.max(height, parts.height);
  const hasAlpha = parts.hasAlpha || (isLossless && ((sides >>> 28) & 1) === 1);
  return {
    kind: isLossless ? 'a lossless WebP' : 'a WebP',
    width: wide,
    height: high,
    pixelBytes: hasAlpha ? 4 : 3,
    // The frame and the canvas; what is lossless is decoded whole, and so is alpha.
    frameBytes: isLossless ? 4 : 8,
    wholeBytes: bytes.size + (isLossless ? 4 : hasAlpha ? 2 : 0) * width * height,
    metadataBytes: parts.metadataBytes,
    halvingsLeft: 0,
  };
}

/** Of the first image of the file. */
function checkZeros(bytes: ImageBytes, image: Chunk, { width, height }: ImageHeader): void {
  const { name, at, length } = image;
  const share = name === 'VP8L' ? LOSSLESS_ZEROS : LOSSY_ZEROS;
  const most = Math.floor(Math.max(USUAL_ZEROS, width * height * share));
  let zeros = 0;
  for (let done = 0; done < length;) {
    const part = bytes.from(at + done).subarray(0, length - done);
    if (part.length === 0) bytes.failShort('its image');
    for (const byte of part) {
      zeros = byte === 0 ? zeros + 1 : 0;
      if (zeros > most) bytes.fail(`a WebP file with more than ${String(most)} zeros in a row`);
    }
    done += part.length;
  }
}
