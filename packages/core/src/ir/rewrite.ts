/**
 * Tools for passes: replace values, drop nodes, renumber. All return new graphs.
 */
import type { Graph, Node, Operands, Value, ValueId } from './graph.js';

/** The graph with every read of a value redirected by `to`; definitions stay. */
export function redirect(graph: Graph, to: ReadonlyMap<ValueId, ValueId>): Graph {
  if (to.size === 0) return graph;
  const follow = (id: ValueId): ValueId => {
    let current = id;
    for (let next = to.get(current); next !== undefined; next = to.get(current)) current = next;
    return current;
  };
  return {
    values: graph.values,
    nodes: graph.nodes.map((node) => ({ ...node, inputs: mapOperands(node.inputs, follow) })),
    outputs: mapOperands(graph.outputs, follow),
  };
}

export function mapOperands(operands: Operands, f: (id: ValueId) => ValueId): Operands {
  const mapped: Record<string, ValueId> = {};
  for (const key of Object.keys(operands)) mapped[key] = f(operands[key]);
  return mapped;
}

/** Applies `f` to every leaf value; ids, names and types must stay. */
export function mapLeaves(graph: Graph, f: (leaf: Value) => Value): Graph {
  return {
    ...graph,
    values: graph.values.map((value) => (value.source.kind === 'node' ? value : f(value))),
  };
}

/**
 * The graph without the leaves `dropped`, and with the values `behind` names moved right behind their
 * key, so that parameters keep the model's order; renumbered.
 */
export function regroup(
  graph: Graph,
  behind: ReadonlyMap<ValueId, readonly ValueId[]>,
  dropped: ReadonlySet<ValueId>,
): Graph {
  const moved = new Set([...behind.values()].flat());
  const values = graph.values.flatMap((value) =>
    moved.has(value.id)
      ? []
      : [value, ...(behind.get(value.id) ?? []).map((id) => graph.values[id])],
  );
  return renumber({ ...graph, values }, graph.nodes, (value) => !dropped.has(value.id));
}

/** The graph with only the values that `keep` names, renumbered in order. */
export function renumber(
  graph: Graph,
  nodes: readonly Node[],
  keep: (value: Value) => boolean,
): Graph {
  const ids = new Map<ValueId, ValueId>();
  const values: Value[] = [];
  for (const value of graph.values) {
    if (!keep(value)) continue;
    ids.set(value.id, values.length);
    values.push({ ...value, id: values.length });
  }
  const place = (id: ValueId) => ids.get(id) ?? id;
  return {
    values,
    nodes: nodes.map((node) => ({
      ...node,
      inputs: mapOperands(node.inputs, place),
      outputs: mapOperands(node.outputs, place),
    })),
    outputs: mapOperands(graph.outputs, place),
  };
}
