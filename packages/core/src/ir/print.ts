/**
 * The stable text form of a graph: leaves first, then one line per node, then the outputs. Two graphs print
 * alike exactly when they compute the same thing in the same order, so tests pin this text.
 *
 *   parameter head.weight: f32[5,48] trainable
 *   head: y f32[4,5] = matmul(a: tokens, b: head.weight, bias: head.bias) {transB: true}
 *   output loss = loss.loss
 */
import type { Graph, Node, Operands, Params, Value } from './graph.js';
import { contentsText } from './host.js';
import { typeText } from './types.js';

/** The stable text of a graph, a line for each leaf, node and output; values that nothing uses are left out. */
export function printGraph(graph: Graph): string {
  const used = new Set<number>(Object.values(graph.outputs));
  for (const node of graph.nodes) {
    for (const id of [...Object.values(node.inputs), ...Object.values(node.outputs)]) used.add(id);
  }
  const lines = graph.values
    .filter((value) => value.source.kind !== 'node' && used.has(value.id))
    .map(printLeaf);
  for (const node of graph.nodes) lines.push(printNode(graph, node));
  for (const [name, id] of Object.entries(graph.outputs)) {
    lines.push(`output ${name} = ${graph.values[id]?.name ?? `#${String(id)}`}`);
  }
  return lines.join('\n') + '\n';
}

/** One node as text; also used by errors that point at a node. */
export function printNode(graph: Graph, node: Node): string {
  const name = (id: number) => graph.values[id]?.name ?? `#${String(id)}`;
  const list = (operands: Operands) =>
    Object.entries(operands)
      .map(([key, id]) => `${key}: ${name(id)}`)
      .join(', ');
  const results = Object.entries(node.outputs).map(([key, id]) => {
    const value = graph.values[id];
    return `${key} ${value ? typeText(value.type) : '?'}`;
  });
  return `${node.name}: ${results.join(', ')} = ${node.op}(${list(node.inputs)})${printParams(node.params)}`;
}

export function printParams(params: Params): string {
  const entries = Object.entries(params).filter(([, value]) => value !== false);
  if (entries.length === 0) return '';
  return ` {${entries.map(([key, value]) => `${key}: ${String(value)}`).join(', ')}}`;
}

function printLeaf(value: Value): string {
  const text = `${value.source.kind} ${value.name}: ${typeText(value.type)}`;
  switch (value.source.kind) {
    case 'parameter':
      return text + (value.source.trainable ? ' trainable' : ' frozen');
    case 'constant':
      return `${text} = ${String(value.source.fill)}`;
    case 'table':
      return `${text} = ${contentsText(value.source.data)}`;
    case 'input':
    case 'buffer':
    case 'state':
    case 'node':
      return text;
  }
  return value.source satisfies never;
}
