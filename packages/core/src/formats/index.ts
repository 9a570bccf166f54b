/** File formats: bytes in, bytes out. */

export { float16Words } from './float16.js';
export { readSafetensorsHeader, safetensorsHeaderEnd } from './safetensors-header.js';
export type { SafetensorsDtype, SafetensorsHeader, TensorInfo } from './safetensors-header.js';
export {
  TensorView,
  readSafetensors,
  safetensorsData,
  safetensorsPrefix,
  writeSafetensors,
} from './safetensors.js';
export type { SafetensorsFile, TensorShape, TensorSource } from './safetensors.js';
