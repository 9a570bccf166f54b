/**
 * recompute: the backward pass recomputes values of the forward pass instead of keeping them
 * (gradient checkpointing).
 *
 * Every forward value that a backward node reads and that is not kept is computed a second time
 * from what is kept, parameters and constants, by clones (`again.<node>`) just before its first
 * reader. What a node produces that cannot be repeated (forward-pass.ts) is kept whatever the
 * predicate says.
 *
 * Invariant: outputs, gradients and updates keep their bits, because a clone runs the same kernel
 * on the same operands; only memory and work change.
 *
 * Reference: Griewank & Walther, Algorithm 799: revolve, ACM TOMS 26, 2000; Chen et al., Training
 * deep nets with sublinear memory cost, 2016 (arXiv:1604.06174).
 */
import type { Node, TrainGraph, Value, ValueId } from '../ir/graph.js';
import type { GraphBuilder } from '../ops/builder.js';
import { opNamed } from '../ops/index.js';
import { readCopies } from './copies.js';
import { forwardPass } from './forward-pass.js';

/** @param kept which roots of the forward pass wait in memory */
export function recompute(train: TrainGraph, kept: (root: ValueId) => boolean): TrainGraph {
  const { graph } = train;
  const forward = forwardPass(graph);
  const outputs = new Set(Object.values(graph.outputs));
  /** The node to clone for a value; null when the value is read where it is. */
  const source = (id: ValueId): Node | null => {
    const root = forward.root(id);
    const origin = forward.producer(root);
    if (!origin || outputs.has(root) || kept(root) || !forward.canRepeat(origin)) return null;
    return forward.producer(id) ?? null;
  };
  const rewritten = readCopies(graph, forward.end, {
    isCopied: (id) => source(id) !== null,
    isCheap: (id) => {
      const node = source(id);
      return node !== null && opNamed(node.op).recompute === 'cheap';
    },
    make: (id, builder, read) => {
      const node = source(id);
      return node ? clone(node, builder, read) : new Map();
    },
  });
  return { ...train, graph: rewritten };
}

/** Emits `node` once more, on what `read` gives for its operands; copies by the original's id. */
export function clone(
  node: Node,
  builder: GraphBuilder,
  read: (id: ValueId) => ValueId,
): ReadonlyMap<ValueId, ValueId> {
  const inputs = Object.fromEntries(
    Object.entries(node.inputs).map(([key, id]) => [key, builder.value(read(id))]),
  );
  const again = builder.emit(opNamed(node.op), inputs, node.params, `again.${node.name}`);
  const outputs: Readonly<Record<string, Value>> = again;
  return new Map(Object.entries(node.outputs).map(([key, id]) => [id, outputs[key].id]));
}
