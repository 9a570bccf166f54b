/**
 * A model of Thimble as an ONNX graph in float32: images [batch, 3, S, S] as `pixel_values`, logits
 * [batch, classes] as `logits`, the names that transformers.js and Hugging Face's exporters use.
 *
 * Invariant: no constant of the graph depends on the batch (batch.ts).
 */
import {
  GraphError,
  InternalError,
  lookUp,
  narrow,
  required,
  type ModelBuilder,
  type Node,
  type ValueId,
} from '@thimble/core';
import { openBatch, type Extent, type OpenGraph } from './batch.js';
import { foldNorms } from './fold-norms.js';
import { BATCH, ints, type OnnxGraph, type OnnxNode, type ValueInfo } from './graph.js';
import { LOWERINGS, type Lowering } from './lowerings/index.js';
import { Emission, Site, type ReadWeight } from './site.js';
import { ValueNames } from './value-names.js';

/** Name of the images among the inputs of an exported graph. */
export const INPUT = 'pixel_values';
/** Name of the logits among its outputs. */
export const OUTPUT = 'logits';

/**
 * The graph of `model` up to its logits.
 *
 * @param model the forward graph for a batch in mode `eval`: what a method's `forward` returned
 * @param read the value of a parameter or buffer
 *
 * Throws GraphError for an op that only training has, or a batch that cannot be left open.
 *
 * @example
 * const model: ModelBuilder = (batch, mode) => method.forward(buildModel(config, { batch, mode }));
 * lower(model, (name) => checkpoint.read(name));
 */
export function lower(model: ModelBuilder, read: ReadWeight): OnnxGraph {
  const open = openBatch((batch) => narrow(model(batch, 'eval'), new Set()));
  const images = open.graph.values.find(
    ({ name, source }) => name === 'images' && source.kind === 'input',
  );
  if (!images) throw InternalError.of('onnx', 'a model of images', 'one without the input images');
  const { logits } = open.graph.outputs;
  const { nodes, initializers, nameOf } = lowerNodes(open, new Map([[images.id, INPUT]]), read);
  const name = required(nameOf(logits), 'onnx', 'a node that makes the logits');
  return foldNorms({
    inputs: [valueInfo(INPUT, open, images.id)],
    outputs: [valueInfo(OUTPUT, open, logits)],
    nodes: neededFor(nodes, name).map((node) => renamed(node, name, OUTPUT)),
    initializers,
  });
}

/** The nodes of a graph in ONNX. @param inputs names of its inputs */
export function lowerNodes(
  open: OpenGraph,
  inputs: ReadonlyMap<ValueId, string>,
  read: ReadWeight,
) {
  const emission = new Emission();
  const names = new ValueNames(inputs);
  for (const node of open.graph.nodes) {
    const site = new Site(node, open, emission, names, read);
    names.set(node.outputs.y, loweringOf(node)(site));
  }
  const { nodes } = emission;
  const initializers = [...emission.initializers.values()];
  /** A result as it is in Thimble. */
  const nameOf = (id: ValueId) =>
    names.get(id, (x) => emission.node(x, 'Transpose', [x], { perm: ints(0, 2, 3, 1) }, 1)[0]);
  return { nodes, initializers, nameOf };
}

/** The nodes that the value `result` depends on: some lowerings read what stands before a node. */
function neededFor(nodes: readonly OnnxNode[], result: string): readonly OnnxNode[] {
  const needed = new Set([result]);
  const kept = nodes.toReversed().filter(({ inputs, outputs }) => {
    if (!outputs.some((output) => needed.has(output))) return false;
    for (const input of inputs) needed.add(input);
    return true;
  });
  return kept.toReversed();
}

function loweringOf(node: Node): Lowering {
  const lowering = lookUp<Lowering | 'training'>('op', node.op, LOWERINGS);
  if (lowering !== 'training') return lowering;
  throw new GraphError({
    where: `node ${node.name}`,
    expected: 'an op of a forward pass to logits',
    got: `${node.op}, which only training has`,
    todo: 'Export the forward graph of a model',
  });
}

function valueInfo(name: string, open: OpenGraph, id: ValueId): ValueInfo {
  const extent = ({ count, perImage }: Extent) => (perImage ? BATCH : count);
  return { name, type: 'float32', shape: open.extents(id).map(extent) };
}

/** The node with a value under another name. */
function renamed(node: OnnxNode, from: string, to: string): OnnxNode {
  const rename = (name: string) => (name === from ? to : name);
  return { ...node, inputs: node.inputs.map(rename), outputs: node.outputs.map(rename) };
}
