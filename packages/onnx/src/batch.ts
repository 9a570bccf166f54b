/**
 * Which extents of a graph are the batch: a graph of Thimble has a fixed batch, an ONNX graph has
 * not.
 *
 * The model is built for two batches. An extent that is the same in both is fixed; one that is n
 * times the batch in both is the batch's (n = 1 for images, n = windows of an image for windows).
 * Anything else, or nodes that differ, cannot be exported.
 */
import {
  GraphError,
  prune,
  sameContents,
  type Graph,
  type ModelGraph,
  type Node,
  type ValueId,
} from '@thimble/core';

/** An extent: `count`, or `count` for each image of the batch. */
export interface Extent {
  readonly count: number;
  readonly perImage: boolean;
}

/** A forward graph from images to logits whose batch is open. */
export interface OpenGraph {
  /** Built for some batch; its shapes are read through `extents`. */
  readonly graph: Graph;
  extents(id: ValueId): readonly Extent[];
}

const BATCHES = [2, 3] as const;

/** Throws GraphError when the batch is not where it can be left open. */
export function openBatch(model: (batch: number) => ModelGraph): OpenGraph {
  const [first, second] = BATCHES.map((batch) => logitsOnly(model(batch).graph));
  checkSameNodes(first, second);
  checkSameTables(first, second);
  const extents = first.values.map(({ name, type }, id) => {
    const other = second.values[id].type.shape;
    return type.shape.map((extent, axis) =>
      extentOf(`${name}, axis ${String(axis)}`, extent, other[axis]),
    );
  });
  return { graph: first, extents: (id) => extents[id] };
}

/** The graph without the loss and what only it needs. */
function logitsOnly(graph: Graph): Graph {
  return prune({ ...graph, outputs: { logits: graph.outputs.logits } });
}

function extentOf(where: string, first: number, second: number): Extent {
  if (first === second) return { count: first, perImage: false };
  const [one, other] = BATCHES;
  if (first * other === second * one) return { count: first / one, perImage: true };
  throw notOpen(
    where,
    `${String(first)} and ${String(second)} for batches ${BATCHES.join(' and ')}`,
  );
}

function checkSameNodes(first: Graph, second: Graph): void {
  const count = Math.max(first.nodes.length, second.nodes.length);
  for (let index = 0; index < count; index++) {
    const [a, b] = [first.nodes[index], second.nodes[index]];
    if (!a || !b) throw notOpen('nodes', 'a different number of them for another batch');
    if (identity(a) !== identity(b))
      throw notOpen(`node ${a.name}`, 'another one for another batch');
  }
}

function checkSameTables(first: Graph, second: Graph): void {
  for (const { id, name, source } of first.values) {
    const other = second.values[id].source;
    if (source.kind !== 'table' || other.kind !== 'table') continue;
    if (sameContents(source.data, other.data)) continue;
    throw notOpen(`table ${name}`, 'other contents for another batch');
  }
}

/** All of a node; of a reshape without its shape, which its output's type has too. */
function identity({ name, op, params, inputs, outputs }: Node): string {
  return JSON.stringify([name, op, op === 'reshape' ? {} : params, inputs, outputs]);
}

function notOpen(where: string, got: string): GraphError {
  return new GraphError({
    where: `batch of ${where}`,
    expected: 'an extent that is fixed or in proportion to the batch',
    got,
    todo: 'Build the model so that only its batch axes depend on the batch',
  });
}
