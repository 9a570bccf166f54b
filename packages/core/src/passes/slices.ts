/**
 * slices: the images of a micro-batch go through the model in several slices, together block by block.
 *
 * `train` is the graph of one slice of b images; the result has S copies of it for S b images, and the sums of
 * their gradients. Numerically it is S micro-batches of b images, one after the other, with the same sums in
 * the same order: ((g₁ + g₂) + g₃) + …. But where micro-batches go through the whole model one after the
 * other and keep a sum for every parameter between them, slices go through each segment (segments.ts)
 * one after the other, forward and backward: of a block, what is born and dies within it is there for b
 * images at a time, and the gradient of its parameters for as long as the block is at work.
 *
 * Memory: what lives across segments (block inputs, gradients of block outputs, what is saved for the
 * backward pass) is that of S b images; everything else that of b. Of a state that nodes update and that is
 * read in a later segment (a Tucker factor), each slice but the last keeps a copy.
 *
 * Invariants: outputs `loss` (mean of the slices), `logits` (all images) are those of the whole batch, which
 * inputs `images` and `labels` hold. A state goes from slice to slice as from micro-batch to micro-batch.
 *
 * References: Pudipeddi et al., Training large neural networks with constant memory using a new execution
 * algorithm, 2020 (arXiv:2002.05645), layer to layer; Lamy-Poirier, Breadth-first pipeline parallelism, 2022
 * (arXiv:2211.05953), accumulation breadth-first.
 */
import { InternalError } from '../errors.js';
import { consumers, type Graph, type TrainGraph } from '../ir/graph.js';
import type { Gradient, Value, ValueId } from '../ir/graph.js';
import { mapOperands } from '../ir/rewrite.js';
import { elements } from '../ir/types.js';
import { accumulate } from '../ops/accumulate.js';
import { add } from '../ops/add.js';
import { GraphBuilder } from '../ops/builder.js';
import { concatTokens } from '../ops/concat-tokens.js';
import { opNamed } from '../ops/index.js';
import { reshaped } from '../ops/reshape.js';
import { scale } from '../ops/scale.js';
import { sliceBatch } from '../ops/slice-batch.js';
import { segmentsOf, type Segment } from './segments.js';
import { memoryRoots } from './updates.js';

/** Inputs with a row for each image. */
const BATCHED: readonly string[] = ['images', 'labels'];

/**
 * The train graph for `count` times the images.
 *
 * @param train of one slice; its gradients are tensors that can be summed (no products)
 * @param blocks name prefixes of the model's blocks
 */
export function inSlices(train: TrainGraph, count: number, blocks: readonly string[]): TrainGraph {
  const segments = segmentsOf(train.graph, blocks);
  const unrolled = new Unrolled(train, count);
  for (const segment of segments) {
    for (let slice = 0; slice < count; slice++) unrolled.append(segment, slice);
  }
  return unrolled.finish();
}

/** The graph of all slices as it grows. The *template* is that of one slice. */
class Unrolled {
  private readonly template: Graph;
  private readonly count: number;
  private readonly builder: GraphBuilder;
  private readonly rootOf: (id: ValueId) => ValueId;
  private readonly readers: ReadonlyMap<ValueId, readonly number[]>;
  /** The summed values of the template, each with a name. */
  private readonly summands: ReadonlyMap<ValueId, string>;
  private readonly train: TrainGraph;
  /** What stands for the template's values in each slice. */
  private readonly values: readonly Map<ValueId, ValueId>[];
  /** What leaves that nodes update hold by now. */
  private readonly held = new Map<ValueId, ValueId>();
  /** Sums of gradients, and results, over the slices so far. */
  private readonly sums = new Map<ValueId, Value>();
  private readonly results = new Map<string, Value>();

  constructor(train: TrainGraph, count: number) {
    const { graph } = train;
    this.train = train;
    this.template = graph;
    this.count = count;
    this.values = Array.from({ length: count }, () => new Map<ValueId, ValueId>());
    this.builder = new GraphBuilder({
      values: graph.values.map((value) => (isBatched(value) ? widened(value, count) : value)),
      nodes: [],
      outputs: {},
    });
    this.rootOf = memoryRoots(graph);
    this.readers = consumers(graph);
    this.summands = summandsOf(train);
  }

  /** The nodes of `segment` for one slice, behind those of the slices before it. */
  append(segment: Segment, slice: number): void {
    const { nodes } = this.template;
    const cut = new Map<ValueId, ValueId>();
    for (const node of nodes.slice(segment.start, segment.end)) {
      const inputs = Object.fromEntries(
        Object.entries(node.inputs).map(([key, id]) => [key, this.read(id, slice, cut)]),
      );
      const made = this.builder.emit(opNamed(node.op), inputs, node.params, at(node.name, slice));
      const outputs: Readonly<Record<string, Value>> = made;
      for (const [key, id] of Object.entries(node.outputs)) {
        this.values[slice].set(id, outputs[key].id);
        if (this.summands.has(id)) this.sum(id, slice);
      }
      for (const [output, input] of opNamed(node.op).updates ?? []) {
        const root = this.rootOf(node.inputs[input]);
        if (this.isLeaf(root)) this.held.set(root, outputs[output].id);
      }
    }
    this.collect(segment, slice);
    if (slice + 1 < this.count) this.keepForLater(segment, slice);
  }

  /** The graph of all slices with the sums of their gradients. */
  finish(): TrainGraph {
    const summed = (id: ValueId) => {
      const sum = this.sums.get(id);
      if (sum) return sum.id;
      throw InternalError.of('slices', 'a gradient that a node makes', this.nameOf(id));
    };
    const summedUp = (name: string, gradient: Gradient): Gradient => {
      switch (gradient.kind) {
        case 'dense':
          return { kind: 'dense', value: summed(gradient.value) };
        case 'parts':
          return { kind: 'parts', parts: mapOperands(gradient.parts, summed) };
        case 'product':
          throw InternalError.of(name, 'a gradient that can be summed', 'a product');
      }
      return gradient satisfies never;
    };
    const gradients = new Map(
      [...this.train.gradients].map(([name, gradient]) => [name, summedUp(name, gradient)]),
    );
    return { graph: this.builder.build(Object.fromEntries(this.results)), gradients };
  }

  /** What stands for a value of the template; `cut` has what the segment has cut of the inputs so far. */
  private read(id: ValueId, slice: number, cut: Map<ValueId, ValueId>): Value {
    const value = this.template.values[id];
    const known = this.values[slice].get(id) ?? this.held.get(id) ?? cut.get(id);
    if (known !== undefined) return this.builder.value(known);
    const leaf = this.builder.value(id);
    if (!isBatched(value)) return leaf;
    const [count] = value.type.shape;
    const rows = { start: slice * count, count };
    const { y } = this.builder.emit(sliceBatch, { x: leaf }, rows, at(value.name, slice));
    cut.set(id, y.id);
    return y;
  }

  /** Adds a gradient to those of the slices before, in the memory of the first. */
  private sum(id: ValueId, slice: number): void {
    const x = this.own(id, slice);
    const acc = this.sums.get(id);
    const name = this.summands.get(id) ?? '';
    if (acc) {
      const { y } = this.builder.emit(accumulate, { acc, x }, {}, at(`accumulate.${name}`, slice));
      this.sums.set(id, y);
    } else {
      this.sums.set(id, this.isAlone(id) ? x : this.copied(x, at(`accumulate.${name}`, slice)));
    }
  }

  /** Whether nothing but the sum reads the memory of a gradient. */
  private isAlone(id: ValueId): boolean {
    const root = this.rootOf(id);
    if (this.isLeaf(root)) return false;
    const { nodes } = this.template;
    for (let seen = root; seen !== id;) {
      const [only, ...others] = this.readers.get(seen) ?? [];
      const view = only === undefined ? undefined : opNamed(nodes[only].op).view;
      if (!view || others.length > 0) return false;
      seen = nodes[only].outputs[view[0]];
    }
    return !this.readers.has(id);
  }

  /** Adds what the host reads of a slice to that of the slices before it. */
  private collect({ start, end }: Segment, slice: number): void {
    const made = new Set(
      this.template.nodes.slice(start, end).flatMap(({ outputs }) => Object.values(outputs)),
    );
    for (const [name, id] of Object.entries(this.template.outputs)) {
      if (made.has(id)) this.results.set(name, this.joined(name, this.own(id, slice), slice));
    }
  }

  /** A number: the mean of the slices at last; a tensor: the rows of all images. */
  private joined(name: string, x: Value, slice: number): Value {
    const { builder, count } = this;
    const before = this.results.get(name);
    const label = at(`whole.${name}`, slice);
    if (x.type.shape.length === 0) {
      const total = before ? builder.emit(add, { a: before, b: x }, {}, label).y : x;
      if (slice + 1 < count) return total;
      return builder.emit(scale, { x: total }, { factor: 1 / count }, `mean.${name}`).y;
    }
    const [rows, ...row] = x.type.shape;
    const flat = (value: Value) =>
      reshaped(builder, value, [1, value.type.shape[0], elements(row)]);
    if (!before) return x;
    const operands = { a: flat(before), b: flat(x) };
    const { y } = builder.emit(concatTokens, operands, {}, label);
    return reshaped(builder, y, [rows * (slice + 1), ...row]);
  }

  /** Copies what later segments read of states that the next slice updates. */
  private keepForLater({ start, end }: Segment, slice: number): void {
    for (const node of this.template.nodes.slice(start, end)) {
      for (const id of Object.values(node.outputs)) {
        const root = this.rootOf(id);
        const isLater = (this.readers.get(id) ?? []).some((reader) => reader >= end);
        if (!isLater || !this.held.has(root)) continue;
        const name = at(`keep.${this.nameOf(id)}`, slice);
        this.values[slice].set(id, this.copied(this.own(id, slice), name).id);
      }
    }
  }

  private copied(x: Value, name: string): Value {
    return this.builder.emit(scale, { x }, { factor: 1 }, name).y;
  }

  private own(id: ValueId, slice: number): Value {
    const own = this.values[slice].get(id);
    if (own !== undefined) return this.builder.value(own);
    throw InternalError.of('slices', 'a value that a node makes', this.nameOf(id));
  }

  private isLeaf(id: ValueId): boolean {
    return this.template.values[id].source.kind !== 'node';
  }

  private nameOf(id: ValueId): string {
    return this.template.values[id].name;
  }
}

/** The values of the template that are summed; a gradient of two parameters is summed once. */
function summandsOf({ gradients }: TrainGraph): ReadonlyMap<ValueId, string> {
  const result = new Map<ValueId, string>();
  for (const [name, gradient] of gradients) {
    if (gradient.kind === 'dense') result.set(gradient.value, name);
    if (gradient.kind !== 'parts') continue;
    for (const [part, id] of Object.entries(gradient.parts)) result.set(id, `${name}.${part}`);
  }
  return result;
}

function isBatched({ name, source }: Value): boolean {
  return source.kind === 'input' && BATCHED.includes(name);
}

/** An input for all slices. */
function widened(value: Value, count: number): Value {
  const { dtype, shape } = value.type;
  return { ...value, type: { dtype, shape: [shape[0] * count, ...shape.slice(1)] } };
}

/** The name of what a slice, counted from 1, has of the template. */
function at(name: string, slice: number): string {
  return `${name}@${String(slice + 1)}`;
}
