/** The public API of @thimble/onnx: an explicit list. */
export { encodeOnnx, type OnnxFile } from './encode.js';
export {
  ONNX_FORMATS,
  onnxModel,
  type OnnxFormat,
  type OnnxFormatName,
  type OnnxOptions,
} from './formats.js';
export { float, int, ints, MICROSOFT } from './graph.js';
export type {
  Attribute,
  Initializer,
  OnnxData,
  OnnxGraph,
  OnnxModel,
  OnnxNode,
  OnnxType,
  ValueInfo,
} from './graph.js';
export { half } from './half.js';
export { INPUT, lower, OUTPUT } from './lower.js';
export { printOnnx } from './print.js';
export { quantise } from './quantise.js';
export { Emission, type ReadWeight } from './site.js';
