/**
 * An ONNX model in memory: what a file holds, with weights that are read when they are written.
 *
 * Only what models of Thimble need: one graph, ONNX's operators, dense tensors, attributes that are
 * integers, floats or lists of integers. Passes (half.ts, quantise.ts) are functions from graph to
 * graph; encode.ts writes the file, print.ts the text form that tests pin.
 *
 * Invariants: nodes are in topological order; names of values and initializers are unique.
 *
 * Reference: https://github.com/onnx/onnx/blob/v1.12.0/docs/IR.md
 */
import { InternalError } from '@thimble/core';

/** Element types, by the names of the text form. */
export type OnnxType = 'float32' | 'float16' | 'int64' | 'int32' | 'int8' | 'uint8';

/** Elements on the host, row-major; float16 as bit patterns. */
export type OnnxData =
  Float32Array | Uint16Array | BigInt64Array | Int32Array | Int8Array | Uint8Array;

/** A constant of the graph. */
export interface Initializer {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly number[];
  /** Computed anew at each call, so that one tensor at a time is held. */
  read(): OnnxData;
}

/** A constant of a node. */
export type Attribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'ints'; readonly value: readonly number[] };

/** An operator applied to values, which have names. */
export interface OnnxNode {
  readonly name: string;
  /** Operator: `MatMul`. */
  readonly op: string;
  /** Operator set; ONNX's own where there is none. */
  readonly domain?: typeof MICROSOFT;
  /** Names of values; an absent optional operand is ''. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** An input or output; a text stands for an extent that is known when the model runs. */
export interface ValueInfo {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly (number | string)[];
}

/** The graph of an ONNX file, its nodes in an order in which they can run. */
export interface OnnxGraph {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly Initializer[];
}

/** An ONNX file before it is encoded. */
export interface OnnxModel {
  readonly name: string;
  /** Version of the program that wrote the model. */
  readonly producerVersion: string;
  readonly graph: OnnxGraph;
  /** Texts for whoever uses the model: labels, preprocessing, … */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Operators of onnxruntime beside ONNX's; what thimble exports uses none. */
export const MICROSOFT = 'com.microsoft';

/** The extent of the images in a run. */
export const BATCH = 'batch';

/**
 * The operator set: the first with LayerNormalization. Later ones add nothing that the runtimes run
 * faster (GELU, of 20, is recognised in its parts), and older runtimes read this one.
 */
export const OPSET = 17;

/** The version of the file format that came with that operator set (ONNX 1.12). */
export const IR_VERSION = 8;

/** Bytes of one element. */
const TYPE_BYTES: { readonly [T in OnnxType]: number } = {
  float32: 4,
  float16: 2,
  int64: 8,
  int32: 4,
  int8: 1,
  uint8: 1,
};

/** The attribute of a whole number. */
export function int(value: number): Attribute {
  return { kind: 'int', value };
}

/** The attribute of a number. */
export function float(value: number): Attribute {
  return { kind: 'float', value };
}

/** The attribute of several whole numbers. */
export function ints(...value: readonly number[]): Attribute {
  return { kind: 'ints', value };
}

/** Bytes of a tensor's data. */
export function dataBytes({ type, shape }: Pick<Initializer, 'type' | 'shape'>): number {
  return shape.reduce((product, extent) => product * extent, TYPE_BYTES[type]);
}

/** The data of a float32 tensor. */
export function floats(data: OnnxData): Float32Array {
  if (data instanceof Float32Array) return data;
  throw InternalError.of('onnx', 'the data of a float32 tensor', data.constructor.name);
}
