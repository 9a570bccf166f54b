/**
 * What a training graph's forward pass leaves for its backward pass.
 *
 * The forward pass is the nodes up to the last one that an output (logits, loss) needs; the rest is
 * the backward pass. A *root* is the value whose memory a view shows. A value is *saved* when it is
 * a root of the forward pass whose memory some backward node reads.
 *
 * A node can be *repeated* in the backward pass when it gives the same result there: it updates
 * nothing, and nothing that it reads is written over within the forward pass (a Tucker factor is
 * read before and after its update). A parameter's update waits for all readers (plan/schedule.ts).
 */
import {
  ancestors,
  consumers,
  producers,
  type Graph,
  type Node,
  type ValueId,
} from '../ir/graph.js';
import { opNamed } from '../ops/index.js';

export interface ForwardPass {
  readonly graph: Graph;
  /** Nodes [0, end) are the forward pass. */
  readonly end: number;
  /** Saved roots, in the order of their ids; leaves (images) included. */
  readonly saved: ReadonlySet<ValueId>;
  /** The forward node that produces a value; undefined for leaves and backward values. */
  producer(id: ValueId): Node | undefined;
  /** The forward nodes that read a value's memory; a view and what reads it included. */
  readers(id: ValueId): readonly Node[];
  root(id: ValueId): ValueId;
  canRepeat(node: Node): boolean;
}

export function forwardPass(graph: Graph): ForwardPass {
  const needed = ancestors(graph, Object.values(graph.outputs));
  const end =
    1 +
    graph.nodes.findLastIndex((node) => Object.values(node.outputs).some((id) => needed.has(id)));
  const views = viewedValues(graph);
  const root = (id: ValueId) => views.get(id) ?? id;
  const producer = producers(graph);
  const overwritten = new Set<ValueId>();
  for (const node of graph.nodes.slice(0, end)) {
    for (const id of updatedBy(node)) overwritten.add(root(id));
  }
  const forwardNode = (id: ValueId) => {
    const index = producer.get(id);
    return index === undefined || index >= end ? undefined : graph.nodes[index];
  };
  const isForward = (id: ValueId) => (producer.get(id) ?? -1) < end;
  const reads = graph.nodes.slice(end).flatMap((node) => Object.values(node.inputs));
  const saved = new Set(
    reads
      .filter(isForward)
      .map(root)
      .sort((a, b) => a - b),
  );
  return {
    graph,
    end,
    saved,
    producer: forwardNode,
    readers: memoryReaders(graph, end, root),
    root,
    canRepeat: (node) =>
      opNamed(node.op).recompute !== 'never' &&
      updatedBy(node).length === 0 &&
      !Object.values(node.inputs).some((id) => overwritten.has(root(id))),
  };
}

/** The root of every value that is a view. */
function viewedValues(graph: Graph): ReadonlyMap<ValueId, ValueId> {
  const result = new Map<ValueId, ValueId>();
  for (const node of graph.nodes) {
    const { view } = opNamed(node.op);
    if (!view) continue;
    const input = node.inputs[view[1]];
    result.set(node.outputs[view[0]], result.get(input) ?? input);
  }
  return result;
}

function updatedBy(node: Node): readonly ValueId[] {
  return (opNamed(node.op).updates ?? []).map(([, input]) => node.inputs[input]);
}

function memoryReaders(
  graph: Graph,
  end: number,
  root: (id: ValueId) => ValueId,
): (id: ValueId) => readonly Node[] {
  const byRoot = new Map<ValueId, Node[]>();
  for (const [id, indices] of consumers(graph)) {
    const nodes = indices.filter((index) => index < end).map((index) => graph.nodes[index]);
    byRoot.set(root(id), [...(byRoot.get(root(id)) ?? []), ...nodes]);
  }
  return (id) => byRoot.get(root(id)) ?? [];
}
