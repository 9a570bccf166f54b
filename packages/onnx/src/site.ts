/**
 * What the lowering of one node sees and writes with.
 *
 * Names. A node of the graph called `blocks.0.mlp.fc1` becomes ONNX nodes
 * `blocks.0.mlp.fc1/MatMul`, `blocks.0.mlp.fc1/Add`; a value is called like the node that makes it.
 * Weights keep their names, with `.T` where they are transposed. Constants that nodes share are
 * called by what they hold: `ints/-1x197x192`.
 */
import {
  GraphError,
  isCheckpointed,
  type Checkpointed,
  type Graph,
  type Node,
  type DType,
  type HostArray,
  type TensorData,
  type Value,
} from '@thimble/core';
import type { Extent, OpenGraph } from './batch.js';
import { floats, ints, type Attribute, type Initializer, type OnnxData } from './graph.js';
import type { OnnxNode, OnnxType } from './graph.js';
import type { ValueNames } from './value-names.js';

/** ONNX nodes and constants as they are written, in order. */
export class Emission {
  readonly nodes: OnnxNode[] = [];
  readonly initializers = new Map<string, Initializer>();
  private readonly names = new Set<string>();

  /**
   * Adds a node with `count` outputs and returns their names.
   *
   * @param domain operator set; ONNX's own by default
   */
  node(
    scope: string,
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    count: number,
    domain?: OnnxNode['domain'],
  ): readonly string[] {
    const name = this.unique(`${scope}/${op}`);
    const outputs = count === 1 ? [name] : indices(count).map((i) => `${name}.${String(i)}`);
    this.nodes.push({ name, op, inputs, outputs, attributes, ...(domain && { domain }) });
    return outputs;
  }

  /** Adds a constant unless there is one of this name, which then is the same. */
  constant(name: string, type: OnnxType, shape: readonly number[], read: () => OnnxData): string {
    if (!this.initializers.has(name)) this.initializers.set(name, { name, type, shape, read });
    return name;
  }

  private unique(name: string): string {
    let free = name;
    for (let n = 2; this.names.has(free); n++) free = `${name}_${String(n)}`;
    this.names.add(free);
    return free;
  }
}

/** [B, H, W, C] to [B, C, H, W], and back. */
const CHANNELS_FIRST = { perm: ints(0, 3, 1, 2) };
const CHANNELS_LAST = { perm: ints(0, 2, 3, 1) };

/** The ONNX type of each dtype. */
const TYPES: { readonly [D in DType]: OnnxType } = { f32: 'float32', i32: 'int32', i8: 'int8' };

/** The weights as the model's parameters and buffers are called. */
export type ReadWeight = (name: string) => TensorData;

/** One node of the graph about to be lowered. */
export class Site {
  readonly node: Node;
  private readonly open: OpenGraph;
  private readonly emission: Emission;
  private readonly names: ValueNames;
  private readonly read: ReadWeight;

  constructor(
    node: Node,
    open: OpenGraph,
    emission: Emission,
    names: ValueNames,
    read: ReadWeight,
  ) {
    this.node = node;
    this.open = open;
    this.emission = emission;
    this.names = names;
    this.read = read;
  }

  get graph(): Graph {
    return this.open.graph;
  }

  has(operand: string): boolean {
    return this.node.inputs[operand] !== undefined;
  }

  /** An input or output of the node. */
  value(operand: string): Value {
    return this.graph.values[this.node.inputs[operand] ?? this.node.outputs[operand]];
  }

  extents(operand: string): readonly Extent[] {
    return this.open.extents(this.value(operand).id);
  }

  /** Extents that do not depend on the batch, NaN for those that do. */
  fixed(operand: string): readonly number[] {
    return this.extents(operand).map(({ count, perImage }) => (perImage ? NaN : count));
  }

  /** The ONNX name of an input. A parameter or buffer becomes a constant of the graph. */
  input(operand: string): string {
    const value = this.value(operand);
    const name = this.names.get(value.id, (x) => this.emit('Transpose', [x], CHANNELS_LAST));
    if (name !== undefined) return name;
    if (isCheckpointed(value)) return this.weight(value);
    if (value.source.kind === 'constant') return this.filled(value, value.source.fill);
    if (value.source.kind === 'table') return this.stored(value, value.source.data);
    throw new GraphError({
      where: `node ${this.node.name}, operand ${operand}`,
      expected:
        'images, a parameter, a buffer, a constant, a table or the result of an earlier node',
      got: `${value.name}, a result or ${value.source.kind} that a forward pass does not use`,
      todo: 'Export a model whose forward pass reads nothing else',
    });
  }

  /** Whether an operand is known with channels first. */
  isImage(operand: string): boolean {
    return this.names.isImage(this.value(operand).id);
  }

  /** An operand [B, H, W, C] as [B, C, H, W]. */
  image(operand: string): string {
    const transpose = (x: string) => this.emit('Transpose', [x], CHANNELS_FIRST);
    return this.names.image(this.value(operand).id, () => this.input(operand), transpose);
  }

  /** The node that made an operand; undefined for a leaf. */
  producer(operand: string): Site | undefined {
    const { id } = this.value(operand);
    const node = this.graph.nodes.find(({ outputs }) => outputs.y === id);
    return node && new Site(node, this.open, this.emission, this.names, this.read);
  }

  /** A number from a node's params. */
  number(param: string): number {
    return Number(this.node.params[param]);
  }

  flag(param: string): boolean {
    return this.node.params[param] === true;
  }

  emit(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    return this.emitAll(op, inputs, attributes, 1)[0];
  }

  emitAll(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: number,
  ): readonly string[] {
    return this.emission.node(this.node.name, op, inputs, attributes, outputs);
  }

  /** `x` under another shape; -1 for the batch. */
  reshape(x: string, ...shape: readonly number[]): string {
    return this.emit('Reshape', [x, this.ints(...shape)]);
  }

  /** A list of integers, as shapes and axes are given. */
  ints(...values: readonly number[]): string {
    const name = `ints/${values.join('x')}`;
    const read = () => BigInt64Array.from(values, BigInt);
    return this.emission.constant(name, 'int64', [values.length], read);
  }

  /** A table of integers under a name that says what it holds. */
  table(name: string, shape: readonly number[], make: () => readonly number[]): string {
    return this.emission.constant(name, 'int64', shape, () => BigInt64Array.from(make(), BigInt));
  }

  scalar(value: number): string {
    return this.floats(`scalar/${String(value)}`, [], () => Float32Array.of(value));
  }

  floats(name: string, shape: readonly number[], make: () => Float32Array): string {
    return this.emission.constant(name, 'float32', shape, make);
  }

  /** The weight as it is. */
  weight({ name, type }: Checkpointed): string {
    return this.emission.constant(name, TYPES[type.dtype], type.shape, () => this.read(name));
  }

  /** The weight [O, I] or [O, I, 1, 1] as a convolution of one pixel. */
  kernel({ name, type }: Checkpointed): string {
    const [outputs, inputs] = type.shape;
    return this.floats(name, [outputs, inputs, 1, 1], () => floats(this.read(name)));
  }

  /** The weight [O, …], its other axes folded into I, as [I, O]. */
  transposed({ name, type }: Checkpointed): string {
    const [outputs, ...rest] = type.shape;
    const inputs = rest.reduce((product, extent) => product * extent, 1);
    const make = () => transpose(floats(this.read(name)), outputs, inputs);
    return this.floats(`${name}.T`, [inputs, outputs], make);
  }

  private filled(value: Value, fill: number): string {
    this.expectFixed(value);
    const { name, type } = value;
    const count = type.shape.reduce((product, extent) => product * extent, 1);
    return this.floats(name, type.shape, () => new Float32Array(count).fill(fill));
  }

  private stored(value: Value, data: HostArray): string {
    this.expectFixed(value);
    const { name, type } = value;
    return this.emission.constant(name, TYPES[type.dtype], type.shape, () => data);
  }

  private expectFixed({ id, name, type, source }: Value): void {
    if (this.open.extents(id).every(({ perImage }) => !perImage)) return;
    throw new GraphError({
      where: `${source.kind} ${name}`,
      expected: 'a shape without the batch',
      got: `[${type.shape.join(',')}]`,
      todo: 'Use a constant that is repeated over the batch',
    });
  }
}

export function indices(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** [rows, columns] → [columns, rows]. */
function transpose(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = data[row * columns + column];
    }
  }
  return result;
}
