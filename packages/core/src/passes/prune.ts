/**
 * prune: drops every node whose results nobody needs, optional outputs that nobody reads, and the leaves
 * that are left without a reader; renumbers the rest.
 *
 * Live roots are the graph's outputs and every update of a live parameter or state. Invariant: the printed
 * graph computes the same outputs and the same updates.
 */
import type { Graph, Node, Operands, ValueId } from '../ir/graph.js';
import { renumber } from '../ir/rewrite.js';
import { opNamed } from '../ops/index.js';
import { isOptional, operandName } from '../ops/op.js';

/** The graph without nodes whose outputs nothing reads, and with values numbered anew. */
export function prune(graph: Graph): Graph {
  const live = new Set<ValueId>(Object.values(graph.outputs));
  const kept: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    const updates = (opNamed(node.op).updates?.length ?? 0) > 0;
    if (!updates && !Object.values(node.outputs).some((id) => live.has(id))) continue;
    kept.push(dropUnreadOutputs(node, live));
    for (const id of Object.values(node.inputs)) live.add(id);
  }
  kept.reverse();
  const used = new Set(live);
  for (const node of kept) for (const id of Object.values(node.outputs)) used.add(id);
  return renumber(graph, kept, (value) => used.has(value.id));
}

function dropUnreadOutputs(node: Node, live: ReadonlySet<ValueId>): Node {
  if (Object.values(node.outputs).every((id) => live.has(id))) return node;
  const op = opNamed(node.op);
  const optional = new Set(op.outputs.filter(isOptional).map((declared) => operandName(declared)));
  for (const [output] of op.updates ?? []) optional.delete(output);
  const outputs: Operands = Object.fromEntries(
    Object.entries(node.outputs).filter(([key, id]) => !optional.has(key) || live.has(id)),
  );
  return { ...node, outputs };
}
