/** File formats: bytes in, bytes out. */

export { readSafetensorsHeader, safetensorsHeaderEnd } from './safetensors-header.js';
export type { SafetensorsDtype, SafetensorsHeader, TensorInfo } from './safetensors-header.js';
export { TensorView, readSafetensors, writeSafetensors } from './safetensors.js';
export type { SafetensorsFile, TensorSource } from './safetensors.js';
