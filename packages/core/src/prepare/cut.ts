/**
 * cut: a model's forward graph in parts that can be run one after the other.
 *
 *   embedding   images → x               everything before the first block
 *   blocks.0    x → y                    one part for each block; what lies between two blocks
 *   …                                    (a downsampling) belongs to the later one
 *   tail        x → features             up to what the classifier reads
 *
 * Invariant: a part reads one activation, called `x`, and leaves one, called `y`; run in order, each on the
 * one before, they compute what the model computes. Within a part names lose the block's own prefix
 * (`blocks.3.mlp.fc1.weight` is `block.mlp.fc1.weight`), so that blocks of one shape are one program.
 */
import { GraphError } from '../errors.js';
import { ancestors, isCheckpointed, type Graph, type ModelGraph, type Node } from '../ir/graph.js';
import type { Value, ValueId } from '../ir/graph.js';
import { renumber } from '../ir/rewrite.js';

export interface Part {
  /** `embedding`, `blocks.3`, `tail`. */
  readonly name: string;
  /** Input `x`, output `y`. */
  readonly graph: Graph;
  readonly x: Value;
  readonly y: Value;
  /** Name in the model → name in the part, of its parameters and buffers. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Id in the model → value in the part. */
  readonly values: ReadonlyMap<ValueId, Value>;
}

/** The parts of `model`, in order. Throws GraphError when more than one activation crosses a cut. */
export function cutModel(model: ModelGraph): readonly Part[] {
  const { graph, blocks } = model;
  const features = featuresOf(model);
  const needed = ancestors(graph, [features]);
  const isNeeded = (node: Node) => Object.values(node.outputs).some((id) => needed.has(id));
  const inBlock = (prefix: string) => (node: Node) => node.name.startsWith(prefix);
  const bounds = [
    0,
    graph.nodes.findIndex(inBlock(blocks[0])),
    ...blocks.map((prefix) => graph.nodes.findLastIndex(inBlock(prefix)) + 1),
    graph.nodes.length,
  ];
  const names = ['embedding', ...blocks.map((prefix) => prefix.replace(/\.$/, '')), 'tail'];
  let x = onlyInput(graph, 'images');
  return names.map((name, index) => {
    const nodes = graph.nodes.slice(bounds[index], bounds[index + 1]).filter(isNeeded);
    const last = index === names.length - 1;
    const later = graph.nodes.slice(bounds[index + 1]).filter(isNeeded);
    const y = last ? features : crossing(graph, nodes, x, later, name);
    const part = partOf(graph, name, nodes, x, y);
    x = y;
    return part;
  });
}

/**
 * What the classifier reads: [B, …]. Two classifiers that read parts of one activation (DeiT's, a token
 * each) read that activation.
 */
function featuresOf({ graph, head }: ModelGraph): ValueId {
  const isActivation = (id: ValueId) => graph.values[id].source.kind === 'node';
  const ofHead = (id: ValueId) =>
    graph.values[id].source.kind === 'parameter' && graph.values[id].name.startsWith(head);
  const read = new Set<ValueId>();
  for (const node of graph.nodes) {
    const ids = Object.values(node.inputs);
    if (ids.some(ofHead)) ids.filter(isActivation).forEach((id) => read.add(id));
  }
  for (const node of graph.nodes.toReversed()) {
    if (read.size <= 1) break;
    const made = Object.values(node.outputs).filter((id) => read.delete(id));
    if (made.length > 0) {
      Object.values(node.inputs)
        .filter(isActivation)
        .forEach((id) => read.add(id));
    }
  }
  for (const features of read) return features;
  throw cutError('classifier', `a node that reads a parameter ${head}…`, 'none');
}

function onlyInput(graph: Graph, name: string): ValueId {
  const input = graph.values.find((value) => value.source.kind === 'input' && value.name === name);
  if (input) return input.id;
  throw cutError('model', `an input ${name}`, 'none');
}

/** The one activation of `nodes`, or `x` itself, that `later` reads. */
function crossing(
  graph: Graph,
  nodes: readonly Node[],
  x: ValueId,
  later: readonly Node[],
  name: string,
): ValueId {
  const made = new Set([x, ...nodes.flatMap((node) => Object.values(node.outputs))]);
  const read = new Set(later.flatMap((node) => Object.values(node.inputs)));
  const found = [...made].filter((id) => read.has(id));
  if (found.length === 1) return found[0];
  const names = found.map((id) => graph.values[id].name).join(', ');
  throw cutError(`end of ${name}`, 'one activation that later blocks read', names || 'none');
}

function partOf(graph: Graph, name: string, nodes: readonly Node[], x: ValueId, y: ValueId): Part {
  const used = new Set<ValueId>([x, y]);
  for (const node of nodes) {
    for (const id of [...Object.values(node.inputs), ...Object.values(node.outputs)]) used.add(id);
  }
  checkClosed(graph, nodes, x, name);
  const local = (text: string) =>
    text.startsWith(`${name}.`) ? `block.${text.slice(name.length + 1)}` : text;
  const parameters = new Map<string, string>();
  const values = graph.values.map((value): Value => {
    if (value.id === x) return { ...value, name: 'x', source: { kind: 'input' } };
    const renamed = { ...value, name: local(value.name) };
    if (used.has(value.id) && isCheckpointed(value)) parameters.set(value.name, renamed.name);
    return renamed;
  });
  const renamed = nodes.map((node) => ({ ...node, name: local(node.name) }));
  const part = renumber({ values, nodes: renamed, outputs: { x, y } }, renamed, ({ id }) =>
    used.has(id),
  );
  const { x: first, y: last } = part.outputs;
  const kept = graph.values.filter(({ id }) => used.has(id));
  return {
    name,
    graph: { ...part, outputs: { y: last } },
    x: part.values[first],
    y: part.values[last],
    parameters,
    values: new Map(kept.map(({ id }, index) => [id, part.values[index]])),
  };
}

/** Throws GraphError when `nodes` read an activation of another part that is not `x`. */
function checkClosed(graph: Graph, nodes: readonly Node[], x: ValueId, name: string): void {
  const made = new Set([x, ...nodes.flatMap((node) => Object.values(node.outputs))]);
  for (const node of nodes) {
    for (const id of Object.values(node.inputs)) {
      const { kind } = graph.values[id].source;
      if (made.has(id) || (kind !== 'node' && kind !== 'input')) continue;
      const got = graph.values[id].name;
      throw cutError(
        `${name}, node ${node.name}`,
        `only ${graph.values[x].name} from outside`,
        got,
      );
    }
  }
}

function cutError(where: string, expected: string, got: string): GraphError {
  return new GraphError({
    where: `cutting the model at its blocks: ${where}`,
    expected,
    got,
    todo: 'Build the model as a chain of blocks with one activation between them',
  });
}
