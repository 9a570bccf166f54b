/**
 * What a graph changes for the runs after it: its updates of parameters, buffers and states.
 *
 * `prune` keeps every update, so a graph that is to change nothing has to be built without them; whether it was is
 * checked here.
 */
import { GraphError } from '../errors.js';
import { consumers, type Graph, type Node, type Value, type ValueId } from '../ir/graph.js';
import { printNode } from '../ir/print.js';
import { opNamed } from '../ops/index.js';

/** Throws GraphError for a node of the entry `name` that updates a tensor which lives across runs. */
export function expectNoUpdates(name: string, graph: Graph): void {
  const [first] = updates(graph);
  if (!first) return;
  const { node, target } = first;
  throw new GraphError({
    where: `entry ${name}, ${printNode(graph, node)}`,
    expected: 'a graph that changes nothing',
    got: `an update of the ${target.source.kind} ${target.name}`,
    todo: "Build the model without updates in mode 'eval'",
  });
}

/** The graph without those updates of buffers whose results nobody reads. */
export function withoutBufferUpdates(graph: Graph): Graph {
  const read = consumers(graph);
  const outputs = new Set(Object.values(graph.outputs));
  const isUnread = ({ outputs: made }: Node) =>
    Object.values(made).every((id) => !read.has(id) && !outputs.has(id));
  const dropped = new Set(
    updates(graph)
      .filter(({ node, target }) => target.source.kind === 'buffer' && isUnread(node))
      .map(({ node }) => node),
  );
  if (dropped.size === 0) return graph;
  return { ...graph, nodes: graph.nodes.filter((node) => !dropped.has(node)) };
}

/** A node with a leaf that it writes over. */
interface Update {
  readonly node: Node;
  readonly target: Value;
}

function updates(graph: Graph): readonly Update[] {
  const rootOf = memoryRoots(graph);
  return graph.nodes.flatMap((node): readonly Update[] =>
    (opNamed(node.op).updates ?? [])
      .map(([, input]) => ({ node, target: graph.values[rootOf(node.inputs[input])] }))
      .filter(({ target }) => target.source.kind !== 'node'),
  );
}

/** The value whose memory a value is in: its own, but for views and results of updates. */
export function memoryRoots(graph: Graph): (id: ValueId) => ValueId {
  const memory = new Map<ValueId, ValueId>();
  const rootOf = (id: ValueId) => memory.get(id) ?? id;
  for (const node of graph.nodes) {
    const { view, updates: pairs = [] } = opNamed(node.op);
    for (const [output, input] of view ? [view, ...pairs] : pairs) {
      memory.set(node.outputs[output], rootOf(node.inputs[input]));
    }
  }
  return rootOf;
}
