/**
 * fuse: folds an elementwise node into the kernel that produces its operand, saving a pass over memory.
 *
 *   gelu(x), gelu_grad(x, dy)               → gelu_grad {value} with outputs dx and y
 *   gelu(matmul(a, b, bias))                → matmul {gelu} with outputs y and pre (the value before)
 *   add(r, matmul(a, b, bias))              → matmul with residual r
 *   add(r, layernorm_grad_input(…))         → layernorm_grad_input with residual r
 *   add(r, windows(x))                      → windows with residual r
 *
 * A node is folded only if its operand has no other reader (a gradient that reads the value before GELU
 * reads `pre` instead). The pair of the first line arises where the backward pass recomputes GELU; it
 * is formed where dy is known by the time of the value. Invariant: outputs are equal up to the rounding of one addition order.
 */
import {
  consumers,
  producers,
  type Graph,
  type Node,
  type Value,
  type ValueId,
} from '../ir/graph.js';
import { redirect } from '../ir/rewrite.js';
import { sameType } from '../ir/types.js';
import { add } from '../ops/add.js';
import { gelu } from '../ops/gelu.js';
import { geluGrad } from '../ops/gelu-grad.js';
import { opNamed } from '../ops/index.js';
import { matmul } from '../ops/matmul.js';

export function fuse(graph: Graph): Graph {
  return fuseResiduals(fuseGelu(fuseGeluPairs(graph)));
}

function fuseGeluPairs(graph: Graph): Graph {
  const producer = producers(graph);
  const readers = consumers(graph);
  const nodes: (Node | null)[] = [...graph.nodes];
  const values: Value[] = [...graph.values];
  const replaced = new Map<ValueId, ValueId>();
  graph.nodes.forEach((node, index) => {
    if (node.op !== gelu.name) return;
    const { x } = node.inputs;
    const at = (readers.get(x) ?? []).find((reader) => nodes[reader]?.op === geluGrad.name);
    const gradient = at === undefined ? null : nodes[at];
    if (at === undefined || gradient?.inputs.x !== x || gradient.params.value === true) return;
    if ((producer.get(gradient.inputs.dy) ?? -1) > index) return;
    const y = values.length;
    const { type } = graph.values[x];
    values.push({ id: y, name: `${node.name}.value`, type, source: { kind: 'node' } });
    const outputs = { ...gradient.outputs, y };
    nodes[index] = { ...gradient, params: { ...gradient.params, value: true }, outputs };
    nodes[at] = null;
    replaced.set(node.outputs.y, y);
  });
  return redirect({ ...graph, values, nodes: nodes.filter((node) => node !== null) }, replaced);
}

function fuseGelu(graph: Graph): Graph {
  const producer = producers(graph);
  const outputs = new Set(Object.values(graph.outputs));
  const nodes: (Node | null)[] = [...graph.nodes];
  const values: Value[] = [...graph.values];
  const replaced = new Map<ValueId, ValueId>();
  graph.nodes.forEach((node, index) => {
    if (node.op !== gelu.name) return;
    const x = node.inputs.x;
    const at = producer.get(x);
    const source = at === undefined ? null : nodes[at];
    if (at === undefined || source?.op !== matmul.name || outputs.has(x)) return;
    if (source.params.gelu === true || 'residual' in source.inputs) return;
    const y = values.length;
    const type = graph.values[x].type;
    values.push({ id: y, name: `${node.name}.fused`, type, source: { kind: 'node' } });
    nodes[at] = {
      ...source,
      params: { ...source.params, gelu: true },
      outputs: { y, pre: x },
    };
    nodes[index] = null;
    replaced.set(node.outputs.y, y);
  });
  return redirect({ ...graph, values, nodes: nodes.filter((node) => node !== null) }, replaced);
}

/** Whether `node` updates something that `reader` reads. */
function writesOver(node: Node, reader: Node): boolean {
  const read = new Set(Object.values(reader.inputs));
  return (opNamed(node.op).updates ?? []).some(([, input]) => read.has(node.inputs[input]));
}

function fuseResiduals(graph: Graph): Graph {
  const producer = producers(graph);
  const readers = consumers(graph);
  const outputs = new Set(Object.values(graph.outputs));
  const nodes: (Node | null)[] = [...graph.nodes];
  const replaced = new Map<ValueId, ValueId>();

  /** Folds the addition at `index` into the node that produces `id`, where that is possible. */
  const foldInto = (id: ValueId, residual: ValueId, index: number): boolean => {
    const at = producer.get(id);
    const source = at === undefined ? null : nodes[at];
    if (at === undefined || !source) return false;
    const output = opNamed(source.op).residual;
    if (output === undefined || source.outputs[output] !== id) return false;
    if (residual === id || 'residual' in source.inputs) return false;
    if (Object.keys(source.outputs).length > 1) return false;
    if (outputs.has(id) || (readers.get(id) ?? []).length !== 1) return false;
    // The fused node moves to the addition's place, where the residual is known, unless what it reads is updated before.
    const between = nodes.slice(at + 1, index);
    const isUpdated = between.some((other) => other && writesOver(other, source));
    if (isUpdated && (producer.get(residual) ?? -1) > at) return false;
    nodes[at] = nodes[index] = null;
    nodes[isUpdated ? at : index] = { ...source, inputs: { ...source.inputs, residual } };
    return true;
  };

  graph.nodes.forEach((node, index) => {
    if (node.op !== add.name) return;
    const { a, b } = node.inputs;
    if (!sameType(graph.values[a].type, graph.values[b].type)) return;
    if (foldInto(b, a, index)) replaced.set(node.outputs.y, b);
    else if (foldInto(a, b, index)) replaced.set(node.outputs.y, a);
  });
  return redirect({ ...graph, nodes: nodes.filter((node) => node !== null) }, replaced);
}
