/**
 * Order of nodes: moves nodes that a pass has appended at the end of a graph to where they belong.
 *
 * `hoist` puts a node right behind the last of its producers, so that an operand that only it reads
 * dies at once; `sink` puts it right before its first reader, so that its result is born late;
 * `moveBehind` moves all of them to one place. All keep the order of all other nodes. None moves a
 * node across an update of what it reads: nodes that read a parameter's old value must stand before
 * the update in the given graph, and do.
 */
import { consumers, producers, type Graph, type Node } from './graph.js';

/** Moves every node from index `first` on to just behind its producers. */
export function hoist(graph: Graph, first: number): Graph {
  const producer = producers(graph);
  /** Nodes to place behind each node; −1: before all. */
  const behind = new Map<number, number[]>();
  /** The old node behind which each appended node ends up. */
  const anchor = new Map<number, number>();
  for (let index = first; index < graph.nodes.length; index++) {
    const at = Math.max(
      -1,
      ...Object.values(graph.nodes[index].inputs).map((id) => {
        const by = producer.get(id) ?? -1;
        return anchor.get(by) ?? by;
      }),
    );
    anchor.set(index, at);
    const list = behind.get(at);
    if (list) list.push(index);
    else behind.set(at, [index]);
  }
  return reordered(graph, first, behind, new Map());
}

/** Moves every node from index `first` on to just before its first reader; unread ones stay last. */
export function sink(graph: Graph, first: number): Graph {
  const readers = consumers(graph);
  const before = new Map<number, number[]>();
  const anchor = new Map<number, number>();
  for (let index = graph.nodes.length - 1; index >= first; index--) {
    const at = Math.min(
      first,
      ...Object.values(graph.nodes[index].outputs).flatMap((id) =>
        (readers.get(id) ?? []).map((by) => anchor.get(by) ?? by),
      ),
    );
    anchor.set(index, at);
    const list = before.get(at);
    if (list) list.unshift(index);
    else before.set(at, [index]);
  }
  return reordered(graph, first, new Map(), before);
}

/** Moves the nodes from index `first` on, as they are, behind node `at`; −1: before all. */
export function moveBehind(graph: Graph, first: number, at: number): Graph {
  return moveRunsBehind(graph, [{ start: first, at }]);
}

/** Nodes from `start` to the next run, or to the last of the graph, and the node that they go behind. */
export interface Run {
  readonly start: number;
  readonly at: number;
}

/**
 * Moves every run, as it is, behind its node `at`; −1: before all. The runs are what is behind the first
 * one's start; of several with the same `at`, the last comes first.
 */
export function moveRunsBehind(graph: Graph, runs: readonly Run[]): Graph {
  const { nodes } = graph;
  const first = runs[0]?.start ?? nodes.length;
  const behind = new Map<number, Node[]>();
  runs.forEach(({ start, at }, index) => {
    const run = nodes.slice(start, runs[index + 1]?.start ?? nodes.length);
    behind.set(at, [...run, ...(behind.get(at) ?? [])]);
  });
  const moved = nodes
    .slice(0, first)
    .flatMap((node, index) => [node, ...(behind.get(index) ?? [])]);
  return { ...graph, nodes: [...(behind.get(-1) ?? []), ...moved] };
}

function reordered(
  graph: Graph,
  first: number,
  behind: ReadonlyMap<number, readonly number[]>,
  before: ReadonlyMap<number, readonly number[]>,
): Graph {
  const nodes: Node[] = [];
  const place = (indices: readonly number[] | undefined) => {
    for (const index of indices ?? []) nodes.push(graph.nodes[index]);
  };
  place(behind.get(-1));
  for (let index = 0; index <= first; index++) {
    place(before.get(index));
    if (index === first) break;
    nodes.push(graph.nodes[index]);
    place(behind.get(index));
  }
  return { ...graph, nodes };
}
