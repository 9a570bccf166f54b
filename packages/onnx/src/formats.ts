/**
 * The forms in which a model is written as ONNX. A new one is a function from graph to graph here,
 * and is then exported, checked and measured like the others.
 */
import { lookUp, type ModelBuilder } from '@thimble/core';
import type { OnnxGraph, OnnxModel } from './graph.js';
import { half } from './half.js';
import { lower } from './lower.js';
import { quantise } from './quantise.js';
import type { ReadWeight } from './site.js';

/** A form of ONNX file. */
export interface OnnxFormat {
  readonly summary: string;
  /** The file's name, as transformers.js and the hub's models have it for a dtype. */
  readonly file: string;
  /** transformers.js's name of the dtype. */
  readonly dtype: string;
  /** From the graph in float32. */
  readonly transform: (graph: OnnxGraph) => OnnxGraph;
}

/** Every form of ONNX file, by name. */
export const ONNX_FORMATS = {
  onnx: {
    summary: 'ONNX in float32: the same numbers everywhere',
    file: 'model.onnx',
    dtype: 'fp32',
    transform: (graph) => graph,
  },
  'onnx-fp16': {
    summary: 'ONNX in float16: half the bytes, for graphics processors and WebGPU',
    file: 'model_fp16.onnx',
    dtype: 'fp16',
    transform: half,
  },
  'onnx-int8': {
    summary: 'ONNX with 8-bit integer products: a quarter of the bytes, the fastest on CPUs',
    file: 'model_quantized.onnx',
    dtype: 'q8',
    transform: quantise,
  },
} as const satisfies Record<string, OnnxFormat>;

/** Name of a form of ONNX file. */
export type OnnxFormatName = keyof typeof ONNX_FORMATS;

/** What is written, and what it is called. */
export interface OnnxOptions {
  /** The forward graph for a batch: what a method's `forward` returned. */
  readonly model: ModelBuilder;
  /** The value of a parameter; asked for once or twice for each, when it is written. */
  readonly read: ReadWeight;
  /** What the graph is called: the model's name. */
  readonly name: string;
  readonly producerVersion: string;
  /** Texts beside the graph: labels, preprocessing, … */
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * A model of Thimble as an ONNX model; factored weights stay factored.
 *
 * @example
 * const options = { model, read, name, producerVersion, metadata };
 * for (const part of encodeOnnx(onnxModel('onnx-int8', options)).parts()) writeSync(file, part);
 */
export function onnxModel(format: OnnxFormatName, options: OnnxOptions): OnnxModel {
  const { model, read, name, producerVersion, metadata } = options;
  const { transform } = lookUp<OnnxFormat>('ONNX format', format, ONNX_FORMATS);
  return { name, producerVersion, metadata, graph: transform(lower(model, read)) };
}
