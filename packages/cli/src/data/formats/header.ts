/** What the header of an image file says, in terms of what decoding it takes. */

export interface ImageHeader {
  /** As errors call it: `a progressive JPEG`. */
  readonly kind: string;
  /** Sides in pixels, before any turn. */
  readonly width: number;
  readonly height: number;
  /** Bytes of a pixel as the decoder gives it. */
  readonly pixelBytes: number;
  /** Bytes that the decoder keeps beside it, for each pixel of the result. */
  readonly frameBytes: number;
  /** Bytes that the decoder keeps of the whole image, however small the result. */
  readonly wholeBytes: number;
  /** Bytes of what is no image: profiles, comments, the camera's notes. */
  readonly metadataBytes: number;
  /** Of the halvings of an image, those that the decoder leaves to be done on its pixels, at most. */
  readonly halvingsLeft: number;
}

/** A file whose header was read. */
export interface ImageReader {
  readonly header: ImageHeader;
  /** Looks in the rest for damage that decoders do not report. Throws DataError. */
  check(): void;
}

/** Of one file: more is no photo, and takes long to pass over. */
export const MAX_METADATA_BYTES = 50e6;
export const TOO_MUCH_METADATA = `a file with more than ${String(MAX_METADATA_BYTES / 1e6)} MB beside its image`;

/** Chunks of one file. */
export const MAX_CHUNKS = 1 << 18;
