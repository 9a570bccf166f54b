/**
 * half: an ONNX graph in float16 with float32 input and output, as transformers.js's fp16 files
 * are.
 *
 * Every weight and everything computed is float16; LayerNormalization takes its statistics in
 * float32 (its attribute stash_type is 1 unless said otherwise). Where a runtime has no float16
 * arithmetic, as on most CPUs, it computes in float32 from the float16 weights.
 *
 * Invariant: the same nodes as before, between a Cast at the input and one at the output.
 */
import { float16Words, FormatError } from '@thimble/core';
import { DATA_TYPE } from './fields.js';
import {
  floats,
  int,
  type Initializer,
  type OnnxGraph,
  type OnnxNode,
  type ValueInfo,
} from './graph.js';

/** All bits of the exponent: infinity, or no number. */
const EXPONENT = 0x7c00;

/**
 * The graph with its weights and work in float16; inputs and outputs stay in float32. Throws FormatError for a
 * weight that float16 cannot hold.
 */
export function half(graph: OnnxGraph): OnnxGraph {
  const inside = new Map<string, string>();
  for (const { name } of [...graph.inputs, ...graph.outputs]) inside.set(name, `${name}/half`);
  const rename = (name: string) => inside.get(name) ?? name;
  return {
    ...graph,
    nodes: [
      ...graph.inputs.map((value) => cast(value, value.name, rename(value.name), 'float16')),
      ...graph.nodes.map((node) => ({
        ...node,
        inputs: node.inputs.map(rename),
        outputs: node.outputs.map(rename),
      })),
      ...graph.outputs.map((value) => cast(value, rename(value.name), value.name, 'float32')),
    ],
    initializers: graph.initializers.map(halfTensor),
  };
}

function cast(
  { name }: ValueInfo,
  from: string,
  to: string,
  type: 'float16' | 'float32',
): OnnxNode {
  const attributes = { to: int(DATA_TYPE[type]) };
  return { name: `${name}/Cast`, op: 'Cast', inputs: [from], outputs: [to], attributes };
}

function halfTensor(tensor: Initializer): Initializer {
  if (tensor.type !== 'float32') return tensor;
  return { ...tensor, type: 'float16', read: () => halfData(tensor) };
}

function halfData({ name, read }: Initializer): Uint16Array {
  const data = floats(read());
  const words = float16Words(data);
  for (let i = 0; i < words.length; i++) {
    if ((words[i] & EXPONENT) !== EXPONENT) continue;
    throw new FormatError({
      where: `tensor ${name}`,
      expected: 'values below 65520, which float16 can hold',
      got: `${String(data[i])} at element ${String(i)}`,
      todo: 'Export as onnx, in float32',
    });
  }
  return words;
}
