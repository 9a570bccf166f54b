/** Contents of tensors on the host, as an arena holds them. */
import { bytesOf, type DType, type TensorType } from './types.js';

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
