/**
 * deferred: what a forward pass computes for the backward pass only is computed there, just before it is read.
 *
 * A Tucker core of a linear's input is such: with the blocks recomputed from their inputs, the linear's input
 * is there again when its weight's gradient is computed, so that neither the core nor its factors have to wait
 * from one pass to the other. A node stays where something else of the forward pass reads it, where nobody
 * does (an update of running statistics), and where it reads what a node that stays writes over.
 *
 * Invariant: every node reads what it read before; only the order changes.
 */
import { ancestors, consumers, type Node, type TrainGraph, type ValueId } from '../ir/graph.js';
import { sink } from '../ir/order.js';
import { opNamed } from '../ops/index.js';
import { forwardPass } from './forward-pass.js';
import { memoryRoots } from './updates.js';

export function deferred(train: TrainGraph): TrainGraph {
  const { graph } = train;
  const { nodes } = graph;
  const { end } = forwardPass(graph);
  const needed = ancestors(graph, Object.values(graph.outputs));
  const readers = consumers(graph);
  const rootOf = memoryRoots(graph);
  const readersOf = (node: Node) =>
    Object.values(node.outputs).flatMap((id) => readers.get(id) ?? []);
  const isNeeded = (node: Node) => Object.values(node.outputs).some((id) => needed.has(id));
  /** Memory that nodes which stay in any case write over. */
  const written = new Set<ValueId>();
  for (const node of nodes.slice(0, end)) {
    if (!isNeeded(node) && readersOf(node).length > 0) continue;
    for (const [, input] of opNamed(node.op).updates ?? []) written.add(rootOf(node.inputs[input]));
  }
  const moved = new Set<Node>();
  for (const node of nodes.slice(0, end).reverse()) {
    const by = readersOf(node);
    const isForLater =
      by.length > 0 && by.every((reader) => reader >= end || moved.has(nodes[reader]));
    const isFree = !Object.values(node.inputs).some((id) => written.has(rootOf(id)));
    if (isForLater && isFree && !isNeeded(node)) moved.add(node);
  }
  const stay = nodes.filter((node) => !moved.has(node));
  const reordered = [...stay, ...nodes.filter((node) => moved.has(node))];
  return { ...train, graph: sink({ ...graph, nodes: reordered }, stay.length) };
}
