/** float16 as ONNX stores it: bit patterns, rounded to nearest even. */
import { safetensorsData } from '@thimble/core';

export function float16Array(data: Float32Array): Uint16Array {
  const shape = [data.length];
  const bytes = safetensorsData({ name: 'float16', dtype: 'F16', shape, data });
  return new Uint16Array(bytes.buffer, bytes.byteOffset, data.length);
}
