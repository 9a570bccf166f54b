/** Contents of tensors on the host, as an arena holds them. */
import { bytesOf, elements, type DType, type TensorType } from './types.js';

/** A tensor's contents, row-major. */
export type HostArray =
  Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Int8Array<ArrayBuffer>;

const HOST_ARRAYS: { readonly [K in DType]: (bytes: ArrayBuffer) => HostArray } = {
  f32: (bytes) => new Float32Array(bytes),
  i32: (bytes) => new Int32Array(bytes),
  i8: (bytes) => new Int8Array(bytes),
};

/** Host storage of a tensor: over `bytes`, or zeros. */
export function hostArray(type: TensorType, bytes?: ArrayBuffer): HostArray {
  return HOST_ARRAYS[type.dtype](bytes ?? new ArrayBuffer(bytesOf(type)));
}

/** The bytes of `data`, without a copy. */
export function bytesIn(data: HostArray): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** What keeps `data` from being the contents of a tensor; null when it can be. */
export function contentsFault({ dtype, shape }: TensorType, data: HostArray): string | null {
  const own = dtypeOf(data);
  if (own !== dtype) return `contents of ${own ?? 'no dtype'}`;
  if (data.length !== elements(shape)) return `contents of ${String(data.length)} elements`;
  const at = data.findIndex((value: number) => !Number.isFinite(value));
  return at < 0 ? null : `${String(data[at])} at element ${String(at)}`;
}

/** null for what a program from outside may hold instead. */
function dtypeOf(data: unknown): DType | null {
  if (data instanceof Float32Array) return 'f32';
  if (data instanceof Int32Array) return 'i32';
  return data instanceof Int8Array ? 'i8' : null;
}

/** True for the same dtype and the same bits. */
export function sameContents(a: HostArray, b: HostArray): boolean {
  if (dtypeOf(a) !== dtypeOf(b) || a.length !== b.length) return false;
  const other = bytesIn(b);
  return bytesIn(a).every((byte, index) => byte === other[index]);
}

/** An i8 holds a level of a picture, 0 to 255, less this. */
export const LEVEL_OFFSET = 128;

/** Numbers of a table that are printed. */
const SHOWN = 4;

/** The first numbers of `data` and a hash of all its bits: `0.5 -1 2 4 … #8a3c05d7e12f9b44`. */
export function contentsText(data: HostArray): string {
  const shown = Array.from(data.subarray(0, SHOWN), (value) =>
    String(Number(value.toPrecision(6))),
  );
  const more = data.length > SHOWN ? ' …' : '';
  return `${shown.join(' ')}${more} #${hashOf(bytesIn(data))}`;
}

/** FNV-1a of 32 bits, from two beginnings. */
function hashOf(bytes: Uint8Array): string {
  return [0x811c9dc5, 0x01000193]
    .map((beginning) => {
      let hash = beginning;
      for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
      return (hash >>> 0).toString(16).padStart(8, '0');
    })
    .join('');
}
