/**
 * The IR: a graph of named values in static single assignment.
 *
 * Terms. A *value* is a tensor with a type; a *leaf* value comes from outside the step (input, parameter,
 * buffer, state, constant, table), every other value is the output of exactly one *node*. A node applies an op to named
 * operands. A graph is immutable: passes and methods return a new one and share what they keep.
 *
 * Invariants (checked by `verify`): `nodes` is in topological order; ids index `values`; names are unique;
 * a node's operands are the ones its op declares; an updating op (`sgd`, …) writes over its operand's
 * memory, so nothing later may read the old value.
 */
import type { HostArray } from './host.js';
import type { TensorType } from './types.js';
import type { WeightForm } from './weight-form.js';

/** Place of a value in `Graph.values`. */
export type ValueId = number;

/** Op parameters: plain data, so that a graph can be printed, compared and serialised. */
export type Params = Readonly<Record<string, number | boolean | string>>;

/** How a parameter or buffer starts when no checkpoint provides it; drawn by (seed, name), see nn/initialise.ts. */
export type Initial =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'ones' }
  | { readonly kind: 'truncatedNormal'; readonly std: number }
  | { readonly kind: 'normal'; readonly std: number }
  | { readonly kind: 'uniform'; readonly bound: number }
  /** A random matrix [O, K] with orthonormal columns. */
  | { readonly kind: 'orthonormal' };

/**
 * One side of a product of two matrices, left [O, K] times right [K, I].
 *
 *   low-rank   left · right is the weight; left has orthonormal columns, the optimiser updates the pair
 *   adapter    left · right is added to the frozen weight (LoRA); two ordinary parameters
 */
export interface Factor {
  /** The weight's name in the dense model: `blocks.0.mlp.fc1.weight`. */
  readonly weight: string;
  readonly side: 'left' | 'right';
  readonly form: 'low-rank' | 'adapter';
}

/**
 * What a state is of:
 *
 *   optimizer    moments, velocity; factors that train in the place of a weight
 *   gradient     sums over micro-batches
 *   activation   factors of a compressed activation
 */
export type StateOf = 'optimizer' | 'gradient' | 'activation';

/** Where a value comes from. */
export type Source =
  /** Written by the host before each run. */
  | { readonly kind: 'input' }
  /** A weight of the model; lives across steps. `decay`: weight decay applies to it. */
  | {
      readonly kind: 'parameter';
      readonly trainable: boolean;
      readonly decay: boolean;
      readonly initial: Initial;
      /** Set where the tensor is one side of a product that stands for, or adds to, a weight. */
      readonly factor?: Factor;
    }
  /**
   * What the model keeps beside its weights (running statistics, masks): lives across steps, is in
   * checkpoints, has no gradient; nodes of the model or of a method update it.
   */
  | { readonly kind: 'buffer'; readonly initial: Initial }
  /** Anything else that lives across steps; starts at zero. */
  | { readonly kind: 'state'; readonly of: StateOf }
  /** Known at compile time; every element is `fill`. */
  | { readonly kind: 'constant'; readonly fill: number }
  /** Known at compile time, element by element: priors, signs. */
  | { readonly kind: 'table'; readonly data: HostArray }
  /** Output of a node. */
  | { readonly kind: 'node' };

/** A tensor of a graph, assigned once: its type, and where it comes from. */
export interface Value {
  readonly id: ValueId;
  /** Unique in its graph; parameters carry the checkpoint's name. */
  readonly name: string;
  readonly type: TensorType;
  readonly source: Source;
}

/** Operands by the names that the op declares; an absent optional operand has no key. */
export type Operands = Readonly<Record<string, ValueId>>;

/** An op applied to values of a graph; its outputs are values too. */
export interface Node {
  /** Unique in its graph: `blocks.0.mlp.fc1`. */
  readonly name: string;
  /** Name of an op in the registry. */
  readonly op: string;
  readonly params: Params;
  readonly inputs: Operands;
  readonly outputs: Operands;
}

/**
 * A computation in static single assignment: values, and the nodes that make them in an order in which they can
 * run.
 */
export interface Graph {
  /** Indexed by id; a value that nothing uses any more stays as a hole until `prune` renumbers. */
  readonly values: readonly Value[];
  readonly nodes: readonly Node[];
  /** Results that the host reads, by name, and updates that must happen: what `prune` keeps alive. */
  readonly outputs: Operands;
}

export const EMPTY_GRAPH: Graph = { values: [], nodes: [], outputs: {} };

/** The leaf values of one kind, in id order. */
export function leaves(graph: Graph, kind: Source['kind']): readonly Value[] {
  return graph.values.filter((value) => value.source.kind === kind);
}

/** A parameter of the graph with its source narrowed. */
export interface Parameter extends Value {
  readonly source: Extract<Source, { kind: 'parameter' }>;
}

/** Whether a value is a weight: what training may change. */
export function isParameter(value: Value): value is Parameter {
  return value.source.kind === 'parameter';
}

/** All parameters, in the order in which the model declared them. */
export function parameters(graph: Graph): readonly Parameter[] {
  return graph.values.filter(isParameter);
}

/** A parameter or buffer: what a checkpoint of the model holds. */
export interface Checkpointed extends Value {
  readonly source: Extract<Source, { kind: 'parameter' | 'buffer' }>;
}

/** Whether a checkpoint of the model holds the value: a parameter or a buffer. */
export function isCheckpointed(value: Value): value is Checkpointed {
  return value.source.kind === 'parameter' || value.source.kind === 'buffer';
}

/** All parameters and buffers, in the order in which the model declared them. */
export function checkpointed(graph: Graph): readonly Checkpointed[] {
  return graph.values.filter(isCheckpointed);
}

/** The graph's outputs as values, by name. */
export function outputValues(graph: Graph): Readonly<Record<string, Value>> {
  return Object.fromEntries(
    Object.entries(graph.outputs).map(([name, id]) => [name, graph.values[id]]),
  );
}

/** Index of the node that produces each value; leaves are absent. */
export function producers(graph: Graph): ReadonlyMap<ValueId, number> {
  const result = new Map<ValueId, number>();
  graph.nodes.forEach((node, index) => {
    for (const id of Object.values(node.outputs)) result.set(id, index);
  });
  return result;
}

/** Indices of the nodes that read each value, ascending. */
export function consumers(graph: Graph): ReadonlyMap<ValueId, readonly number[]> {
  const result = new Map<ValueId, number[]>();
  graph.nodes.forEach((node, index) => {
    for (const id of Object.values(node.inputs)) {
      const list = result.get(id);
      if (!list) result.set(id, [index]);
      else if (list[list.length - 1] !== index) list.push(index);
    }
  });
  return result;
}

/**
 * What a model is built for. In `train` it may compute statistics of the batch and update its buffers; in `eval` it
 * reads these and updates nothing. Both have the same parameters and buffers.
 */
export type Mode = 'train' | 'eval';

/**
 * A model's forward graph with what methods need to know of its structure. The graph has inputs `images`
 * (and `labels`) and outputs `logits` and `loss`.
 */
export interface ModelGraph {
  readonly graph: Graph;
  /** Name prefixes of the repeated blocks, input side first: `blocks.0.`, `blocks.1.`, … */
  readonly blocks: readonly string[];
  /**
   * Name prefix of the downsampling in front of a block, by the block's prefix: it learns if and only
   * if that block does. Absent: none.
   */
  readonly downsampling?: Readonly<Record<string, string>>;
  /**
   * Weights, by their names in the dense model, of the linears that see only the tokens that are read
   * (passes/narrow.ts). Absent: none.
   */
  readonly narrowed?: ReadonlySet<string>;
  /**
   * Position embeddings [1, N, D] whose rows are a square picture of the image: resized where a
   * checkpoint is of another image size. Absent: none.
   */
  readonly positions?: readonly PositionEmbedding[];
  /** Name prefixes of what follows the last block and is not the classifier: the final norm. */
  readonly tail: readonly string[];
  /** Name prefix of the classifier: `head.`. */
  readonly head: string;
  /** Weights that do not live as they are. Absent: none. */
  readonly forms?: readonly WeightForm[];
}

export interface PositionEmbedding {
  /** Its parameter. */
  readonly name: string;
  /** Rows in front that are no part of the picture: class and distillation tokens. */
  readonly prefix: number;
}

/** A forward graph with gradient nodes behind it. */
export interface TrainGraph {
  readonly graph: Graph;
  /**
   * The gradient of every trainable parameter that the loss depends on, by its name. A product stands
   * under the low-rank weight's name in the dense model, in the place of the two sides.
   */
  readonly gradients: ReadonlyMap<string, Gradient>;
}

/** A gradient in the form in which it is known. */
export type Gradient = DenseGradient | ProductGradient | PartsGradient;

/** dL/dparameter itself, of the parameter's shape. */
export interface DenseGradient {
  readonly kind: 'dense';
  readonly value: ValueId;
}

/** dL/dW = pᵀ q with p [r, O] and q [r, I]; the rows of q are orthonormal. */
export interface ProductGradient {
  readonly kind: 'product';
  readonly p: ValueId;
  readonly q: ValueId;
}

/** What the parameter's own update rule reads, by names that it knows; linear in dL/dparameter. */
export interface PartsGradient {
  readonly kind: 'parts';
  readonly parts: Operands;
}

/** The value of a gradient that is the tensor itself; undefined for any other. */
export function denseGradient({ gradients }: TrainGraph, parameter: string): ValueId | undefined {
  const gradient = gradients.get(parameter);
  return gradient?.kind === 'dense' ? gradient.value : undefined;
}

/** All values that `roots` are computed from, roots included. */
export function ancestors(graph: Graph, roots: readonly ValueId[]): ReadonlySet<ValueId> {
  const producer = producers(graph);
  const seen = new Set<ValueId>();
  const pending = [...roots];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    if (seen.has(id)) continue;
    seen.add(id);
    const index = producer.get(id);
    if (index !== undefined) pending.push(...Object.values(graph.nodes[index].inputs));
  }
  return seen;
}
