/**
 * schedule: the order in which the nodes of a graph run.
 *
 * The given order is kept, except that every update runs as early as it may: when its gradient
 * exists and every other reader of the old value has run. So a gradient dies right after it is
 * born, and the peak holds one of them instead of all.
 *
 * Invariant: the result is a topological order in which nothing reads a value after its memory was
 * updated.
 */
import { consumers, producers, type Graph, type Node, type ValueId } from '../ir/graph.js';
import { opNamed } from '../ops/index.js';

export function schedule(graph: Graph): readonly Node[] {
  const before = dependencies(graph);
  const after = dependents(before);
  /** Those of `before` that have not run, for each node. */
  const missing = before.map((nodes) => nodes.length);
  const order: Node[] = [];
  const ready: number[] = [];
  const run = (index: number) => {
    order.push(graph.nodes[index]);
    for (const next of after[index]) {
      if (--missing[next] === 0 && isUpdate(graph.nodes[next])) ready.push(next);
    }
  };
  /** Runs updates until none is ready, in the graph's order; one may enable the next (clear after
   * apply). */
  const runReadyUpdates = () => {
    while (ready.length > 0) {
      for (const index of ready.splice(0).sort((a, b) => a - b)) run(index);
    }
  };
  // An update can be ready before its turn in the list, so all of them wait from the start.
  graph.nodes.forEach((node, index) => {
    if (isUpdate(node) && missing[index] === 0) ready.push(index);
  });
  runReadyUpdates();
  graph.nodes.forEach((node, index) => {
    if (isUpdate(node)) return;
    run(index);
    runReadyUpdates();
  });
  return order;
}

/** For every node those that wait for it, once for each time that it is among their `before`. */
function dependents(before: readonly (readonly number[])[]): readonly (readonly number[])[] {
  const after: number[][] = before.map(() => []);
  before.forEach((nodes, index) => {
    for (const other of nodes) after[other].push(index);
  });
  return after;
}

function isUpdate(node: Node): boolean {
  return (opNamed(node.op).updates?.length ?? 0) > 0;
}

/** For every node those that must run before it: producers, and readers of what it overwrites. */
function dependencies(graph: Graph): readonly (readonly number[])[] {
  const producer = producers(graph);
  const readers = consumers(graph);
  return graph.nodes.map((node, index) => {
    const before: number[] = [];
    for (const id of Object.values(node.inputs)) {
      const at = producer.get(id);
      if (at !== undefined) before.push(at);
    }
    for (const [, input] of opNamed(node.op).updates ?? []) {
      for (const reader of memoryReaders(graph, readers, node.inputs[input])) {
        // Two updates of one value keep their order: the later one waits for the earlier.
        const other = graph.nodes[reader];
        if (reader !== index && (!isUpdate(other) || reader < index)) before.push(reader);
      }
    }
    return before;
  });
}

/** The nodes that read the memory of a value: its readers, and those of its views. */
function memoryReaders(
  graph: Graph,
  readers: ReadonlyMap<ValueId, readonly number[]>,
  id: ValueId,
): readonly number[] {
  return (readers.get(id) ?? []).flatMap((index) => {
    const node = graph.nodes[index];
    const view = opNamed(node.op).view;
    if (!view || node.inputs[view[1]] !== id) return [index];
    return [index, ...memoryReaders(graph, readers, node.outputs[view[0]])];
  });
}
