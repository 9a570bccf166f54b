/**
 * copies: lets backward nodes read copies of forward values that are made just before they are
 * needed, so that the originals die in the forward pass.
 *
 * Readers that are close to one another share a copy. A copy that is cheap to make is made again
 * for a reader that is far away: between the two its memory is free.
 */
import { outputValues, type Graph, type ValueId } from '../ir/graph.js';
import { sink } from '../ir/order.js';
import { mapOperands } from '../ir/rewrite.js';
import { GraphBuilder } from '../ops/builder.js';

/**
 * Nodes between two readers that share a cheap copy: the gradients of one linear (input, weight,
 * bias) lie between the first and the last reader of a layer norm's input.
 */
const NEAR = 3;

export interface CopyRule {
  /** False: backward nodes read the value itself. */
  isCopied(id: ValueId): boolean;
  isCheap(id: ValueId): boolean;
  /**
   * Emits the nodes of a copy, whose operands go through `read`; returns the copy of `id` and of
   * whatever else they produce, by the original's id.
   */
  make(
    id: ValueId,
    builder: GraphBuilder,
    read: (id: ValueId) => ValueId,
  ): ReadonlyMap<ValueId, ValueId>;
}

/** The graph whose nodes from index `end` on read copies according to `rule`. */
export function readCopies(graph: Graph, end: number, rule: CopyRule): Graph {
  const builder = new GraphBuilder(graph);
  /** The last copy of each value, and the last node that reads it. */
  const copies = new Map<ValueId, { id: ValueId; lastUse: number }>();
  const readAt = (id: ValueId, index: number): ValueId => {
    if (!rule.isCopied(id)) return id;
    const known = copies.get(id);
    if (known && (!rule.isCheap(id) || index - known.lastUse <= NEAR)) {
      known.lastUse = index;
      return known.id;
    }
    const made = rule.make(id, builder, (operand) => readAt(operand, index));
    for (const [original, copy] of made) copies.set(original, { id: copy, lastUse: index });
    return made.get(id) ?? id;
  };
  const nodes = graph.nodes.map((node, index) =>
    index < end ? node : { ...node, inputs: mapOperands(node.inputs, (id) => readAt(id, index)) },
  );
  const built = builder.build(outputValues(graph));
  const appended = built.nodes.slice(graph.nodes.length);
  return sink({ ...built, nodes: [...nodes, ...appended] }, nodes.length);
}
