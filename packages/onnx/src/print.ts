/**
 * The text form of an ONNX graph: stable, one line for each input, initializer, node and output.
 *
 *   input pixel_values: float32[batch,3,4,4]
 *   initializer head.weight.T: float32[4,3]
 *   head/MatMul = MatMul(norm/LayerNormalization, head.weight.T)
 *   output logits: float32[batch,3]
 *
 * A node is shown by its outputs; it is called like the first of them unless that is a graph
 * output.
 */
import type { Attribute, OnnxGraph, OnnxNode } from './graph.js';

/** The stable text of an ONNX graph, a line for each input, constant, node and output. */
export function printOnnx(graph: OnnxGraph): string {
  const typed = ({
    name,
    type,
    shape,
  }: {
    name: string;
    type: string;
    shape: readonly unknown[];
  }) => `${name}: ${type}[${shape.join(',')}]`;
  return [
    ...graph.inputs.map((value) => `input ${typed(value)}`),
    ...graph.initializers.map((tensor) => `initializer ${typed(tensor)}`),
    ...graph.nodes.map(nodeText),
    ...graph.outputs.map((value) => `output ${typed(value)}`),
    '',
  ].join('\n');
}

function nodeText({ op, inputs, outputs, attributes }: OnnxNode): string {
  const pairs = Object.entries(attributes).map(([key, value]) => `${key}: ${attributeText(value)}`);
  const suffix = pairs.length > 0 ? ` {${pairs.join(', ')}}` : '';
  return `${outputs.join(', ')} = ${op}(${inputs.join(', ')})${suffix}`;
}

function attributeText(attribute: Attribute): string {
  return attribute.kind === 'ints' ? `[${attribute.value.join(',')}]` : String(attribute.value);
}
