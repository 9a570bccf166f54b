/** Elements of safetensors files, one by one: from little-endian bytes to numbers and back, for every dtype. */
import { bfloat16Bits, bfloat16Value, float16Bits, float16Value } from './float16.js';
import type { SafetensorsDtype } from './safetensors-header.js';

type Decode = (view: DataView, offset: number) => number;
type Encode = (view: DataView, offset: number, value: number) => void;

export const DECODE: { readonly [D in SafetensorsDtype]: Decode } = {
  I64: (view, offset) => Number(view.getBigInt64(offset, true)),
  F64: (view, offset) => view.getFloat64(offset, true),
  F32: (view, offset) => view.getFloat32(offset, true),
  I32: (view, offset) => view.getInt32(offset, true),
  BF16: (view, offset) => bfloat16Value(view.getUint16(offset, true)),
  F16: (view, offset) => float16Value(view.getUint16(offset, true)),
  I16: (view, offset) => view.getInt16(offset, true),
  I8: (view, offset) => view.getInt8(offset),
  U8: (view, offset) => view.getUint8(offset),
  BOOL: (view, offset) => (view.getUint8(offset) === 0 ? 0 : 1),
};

export const ENCODE: { readonly [D in SafetensorsDtype]: Encode } = {
  I64: (view, offset, value) => view.setBigInt64(offset, BigInt(value), true),
  F64: (view, offset, value) => view.setFloat64(offset, value, true),
  F32: (view, offset, value) => view.setFloat32(offset, value, true),
  I32: (view, offset, value) => view.setInt32(offset, value, true),
  BF16: (view, offset, value) => view.setUint16(offset, bfloat16Bits(value), true),
  F16: (view, offset, value) => view.setUint16(offset, float16Bits(value), true),
  I16: (view, offset, value) => view.setInt16(offset, value, true),
  I8: (view, offset, value) => view.setInt8(offset, value),
  U8: (view, offset, value) => view.setUint8(offset, value),
  BOOL: (view, offset, value) => view.setUint8(offset, value),
};

/** Least and greatest value of each integer dtype; null for floats. */
export const INTEGER_RANGE: { readonly [D in SafetensorsDtype]: readonly [number, number] | null } =
  {
    I64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    F64: null,
    F32: null,
    I32: [-(2 ** 31), 2 ** 31 - 1],
    BF16: null,
    F16: null,
    I16: [-(2 ** 15), 2 ** 15 - 1],
    I8: [-128, 127],
    U8: [0, 255],
    BOOL: [0, 1],
  };

export function isFloat(dtype: SafetensorsDtype): boolean {
  return INTEGER_RANGE[dtype] === null;
}
