/**
 * fold: removes work whose result is known at compile time.
 *
 *   reshape(x) to the same shape            → x
 *   reshape(reshape(x))                     → reshape(x)
 *   add(x, constant 0)                      → x
 *   equal constants, equal tables           → one of them
 *
 * Invariant: every remaining value keeps its type; nothing is evaluated in floating point, so results are
 * bit-identical.
 */
import type { Graph, Node, Value, ValueId } from '../ir/graph.js';
import { sameContents } from '../ir/host.js';
import { redirect } from '../ir/rewrite.js';
import { sameType, typeText } from '../ir/types.js';

export function fold(graph: Graph): Graph {
  const replaced = new Map<ValueId, ValueId>();
  shareConstants(graph, replaced);
  const resolve = (id: ValueId) => replaced.get(id) ?? id;
  /** Input of the view that produced a value. */
  const viewOf = new Map<ValueId, ValueId>();
  const nodes = graph.nodes.map((node) => {
    switch (node.op) {
      case 'reshape':
        return foldReshape(graph, node, replaced, viewOf);
      case 'add': {
        const constant = graph.values[resolve(node.inputs.b)].source;
        const zero = constant.kind === 'constant' && constant.fill === 0;
        if (zero) replaced.set(node.outputs.y, resolve(node.inputs.a));
        return node;
      }
      default:
        return node;
    }
  });
  return redirect({ ...graph, nodes }, replaced);
}

function shareConstants(graph: Graph, replaced: Map<ValueId, ValueId>): void {
  const first = new Map<string, Value>();
  const tables: Value[] = [];
  for (const value of graph.values) {
    if (value.source.kind === 'table') {
      const same = tables.find((other) => isSameTable(other, value));
      if (same) replaced.set(value.id, same.id);
      else tables.push(value);
    }
    if (value.source.kind !== 'constant') continue;
    const key = `${typeText(value.type)} ${String(value.source.fill)}`;
    const same = first.get(key);
    if (same) replaced.set(value.id, same.id);
    else first.set(key, value);
  }
}

function isSameTable(a: Value, b: Value): boolean {
  if (a.source.kind !== 'table' || b.source.kind !== 'table') return false;
  return sameType(a.type, b.type) && sameContents(a.source.data, b.source.data);
}

function foldReshape(
  graph: Graph,
  node: Node,
  replaced: Map<ValueId, ValueId>,
  viewOf: Map<ValueId, ValueId>,
): Node {
  const direct = replaced.get(node.inputs.x) ?? node.inputs.x;
  const x = viewOf.get(direct) ?? direct;
  viewOf.set(node.outputs.y, x);
  if (sameType(graph.values[x].type, graph.values[node.outputs.y].type)) {
    replaced.set(node.outputs.y, x);
  }
  return { ...node, inputs: { x } };
}
