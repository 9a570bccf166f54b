/** File formats: bytes in, bytes out. */

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
