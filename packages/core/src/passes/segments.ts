/**
 * segments: a train graph's nodes cut into consecutive runs, about one for each block and pass.
 *
 * Slices (slices.ts) go through the segments together, so that whatever lives across a cut lives once for
 * each slice, and what is born and dies within a segment once in all. A cut is wanted between the nodes of
 * two blocks, between the last block and the loss, and behind the loss; between the two it is made where
 * the fewest bytes live across it. A state that nodes update goes from slice to slice, so that all that
 * happens to it, from its first reader to its last update, is within one segment.
 */
import type { Graph, Node, ValueId } from '../ir/graph.js';
import { bytesOf } from '../ir/types.js';
import { opNamed } from '../ops/index.js';
import { memoryRoots } from './updates.js';

/** Nodes [start, end) of a graph. */
export interface Segment {
  readonly start: number;
  readonly end: number;
}

/**
 * @param blocks name prefixes of the model's blocks
 * @returns the segments in order; together they are all nodes
 */
export function segmentsOf(graph: Graph, blocks: readonly string[]): readonly Segment[] {
  const kept = keptTogether(graph);
  const isAllowed = (cut: number) => !kept.some(({ start, end }) => start < cut && cut < end);
  const bytes = crossingBytes(graph);
  const marks = landmarks(graph, blocks);
  const cuts = marks.slice(1).flatMap((mark, index): readonly number[] => {
    const before = marks[index];
    if (before.part === mark.part) return [];
    let best: number | null = null;
    for (let cut = before.index + 1; cut <= mark.index; cut++) {
      if (isAllowed(cut) && (best === null || bytes[cut] <= bytes[best])) best = cut;
    }
    return best === null ? [] : [best];
  });
  const starts = [0, ...cuts];
  return starts.map((start, index) => ({ start, end: starts[index + 1] ?? graph.nodes.length }));
}

/** A node of which the part of the model is known: its block, or the loss. */
interface Landmark {
  readonly index: number;
  readonly part: string;
}

/** The nodes of the blocks in both passes, and the one that makes the loss. */
function landmarks({ nodes, outputs }: Graph, blocks: readonly string[]): readonly Landmark[] {
  const partOf = (node: Node): string | undefined => {
    if (Object.values(node.outputs).includes(outputs.loss)) return 'loss';
    const name = node.name.replace(/^(grad|again)\./, '');
    return blocks.find((prefix) => name.startsWith(prefix));
  };
  return nodes.flatMap((node, index): readonly Landmark[] => {
    const part = partOf(node);
    return part === undefined ? [] : [{ index, part }];
  });
}

/** For each node, the bytes that are made before it and read from it on, but for leaves. */
function crossingBytes(graph: Graph): Float64Array {
  const rootOf = memoryRoots(graph);
  const born = new Map<ValueId, number>();
  const last = new Map<ValueId, number>();
  graph.nodes.forEach((node, index) => {
    for (const id of Object.values(node.inputs)) last.set(rootOf(id), index);
    for (const id of Object.values(node.outputs)) if (rootOf(id) === id) born.set(id, index);
  });
  const changes = new Float64Array(graph.nodes.length + 2);
  for (const [id, from] of born) {
    const to = last.get(id) ?? from;
    const bytes = bytesOf(graph.values[id].type);
    changes[from + 1] += bytes;
    changes[to + 1] -= bytes;
  }
  let live = 0;
  return changes.map((change) => (live += change));
}

/** Of every leaf that nodes update: from the first that reads it to the last that updates it. */
function keptTogether(graph: Graph): readonly Segment[] {
  const rootOf = memoryRoots(graph);
  const isLeaf = (id: ValueId) => graph.values[id].source.kind !== 'node';
  const first = new Map<ValueId, number>();
  const last = new Map<ValueId, number>();
  graph.nodes.forEach((node, index) => {
    for (const id of Object.values(node.inputs)) {
      const root = rootOf(id);
      if (isLeaf(root) && !first.has(root)) first.set(root, index);
    }
    for (const [, input] of opNamed(node.op).updates ?? []) {
      const root = rootOf(node.inputs[input]);
      if (isLeaf(root)) last.set(root, index);
    }
  });
  return [...last].map(([root, end]) => ({ start: first.get(root) ?? end, end: end + 1 }));
}
