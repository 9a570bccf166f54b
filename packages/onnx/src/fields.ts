/**
 * Field numbers and enumerations of ONNX's protocol buffers, as far as they are written.
 *
 * Source: https://github.com/onnx/onnx/blob/v1.12.0/onnx/onnx.proto
 */
import type { OnnxType } from './graph.js';

export const MODEL = {
  irVersion: 1,
  producerName: 2,
  producerVersion: 3,
  graph: 7,
  opsetImport: 8,
  metadataProps: 14,
} as const;

export const OPERATOR_SET = { domain: 1, version: 2 } as const;

export const STRING_PAIR = { key: 1, value: 2 } as const;

export const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12 } as const;

export const NODE = { input: 1, output: 2, name: 3, opType: 4, attribute: 5, domain: 7 } as const;

export const ATTRIBUTE = { name: 1, float: 2, int: 3, ints: 8, type: 20 } as const;

/** AttributeProto.AttributeType */
export const ATTRIBUTE_TYPE = { float: 1, int: 2, ints: 7 } as const;

export const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9 } as const;

export const VALUE_INFO = { name: 1, type: 2 } as const;

export const TYPE = { tensorType: 1 } as const;

export const TENSOR_TYPE = { elementType: 1, shape: 2 } as const;

export const SHAPE = { dim: 1 } as const;

export const DIMENSION = { value: 1, param: 2 } as const;

/** TensorProto.DataType */
export const DATA_TYPE: { readonly [T in OnnxType]: number } = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  float16: 10,
};
