/**
 * Which inputs are held in Tucker form, and with which ranks.
 *
 * Terms. The *modes* of an input x are its axes: batch and tokens (or height and width), then
 * channels; mode m has extent D_m and rank r_m ≤ D_m. A mode of full rank is left as it is: its
 * factor would be the identity. An input is *freed* when nothing but the gradients of the weights
 * that it is compressed for reads it behind the forward pass; any other stays as it is, since a
 * compressed copy would come on top of it.
 */
import { differentiate } from '../autodiff.js';
import { ConfigError } from '../errors.js';
import { denseGradient, type Graph, type ModelGraph, type Node } from '../ir/graph.js';
import type { TrainGraph, Value, ValueId } from '../ir/graph.js';
import { elements, type Shape } from '../ir/types.js';
import { opNamed } from '../ops/index.js';
import { reshape } from '../ops/reshape.js';
import { isTrained, linears, type Linear } from './linears.js';
import type { Layers, Ranks } from './ranks.js';

export interface TuckerMode {
  /** m, from 0. */
  readonly axis: number;
  /** D_m */
  readonly extent: number;
  /** r_m < D_m */
  readonly rank: number;
}

export interface Compression {
  readonly linear: Linear;
  /** The modes that are not of full rank; at least one. */
  readonly modes: readonly TuckerMode[];
}

/** The trained linears of `layers` whose inputs compression can free. */
export function compressible(model: ModelGraph, layers: Layers): readonly Linear[] {
  return freed(
    model,
    linears(model, layers).filter((linear) => mayCompress(model, linear)),
  );
}

/**
 * What is compressed with `ranks`: freed inputs of trained linears, without those of full rank.
 *
 * A rank above the product of all other extents is lowered to it: the unfolding of x has no more
 * than that many directions. Throws ConfigError for a rank above its extent, a wrong number of
 * ranks and a name that the model does not have.
 */
export function compressions(
  model: ModelGraph,
  ranks: Ranks['activations'],
): readonly Compression[] {
  const all = linears(model, 'all');
  checkNames(all, ranks);
  const found = all.flatMap((linear): readonly Compression[] => {
    if (!mayCompress(model, linear) || !Object.hasOwn(ranks, linear.weight)) return [];
    const modes = modesOf(linear, ranks[linear.weight]);
    return modes.length === 0 ? [] : [{ linear, modes }];
  });
  const free = new Set(
    freed(
      model,
      found.map(({ linear }) => linear),
    ),
  );
  return found.filter(({ linear }) => free.has(linear));
}

/** A rank for every mode of what `compressions` compresses; that of a full mode is its extent. */
export function effectiveRanks(
  model: ModelGraph,
  ranks: Ranks['activations'],
): Ranks['activations'] {
  return Object.fromEntries(
    compressions(model, ranks).map(({ linear, modes }) => {
      const lowered = new Map(modes.map(({ axis, rank }) => [axis, rank]));
      return [
        linear.weight,
        linear.x.type.shape.map((extent, axis) => lowered.get(axis) ?? extent),
      ];
    }),
  );
}

/**
 * Ranks for a plan without images: r_m = D_m ε^p, p = 1.7 for images, 4 for tokens (or height and
 * width), 6 for channels; a spectrum that falls as σ_j² ∝ j^(1/p − 1). `prepare` finds the true
 * ones.
 *
 * Measured at ε = 0.6, 0.7, 0.8, 0.9 on inputs of qkv, fc1 and fc2 of DeiT-Ti and ViT-Ti, 32 photos
 * of flowers, mean over the blocks, in per cent of D_m:
 *
 *   images      41 53 68 83      ε^p: 42 55 68 84
 *   tokens      16 26 42 64           13 24 41 66
 *   channels    11 17 27 45            5 12 26 53
 */
export function typicalRanks(
  model: ModelGraph,
  epsilon: number,
  layers: Layers,
): Ranks['activations'] {
  const { images, tokens, channels } = TYPICAL;
  return Object.fromEntries(
    compressible(model, layers).map(({ weight, x }) => [
      weight,
      x.type.shape.map((extent, axis, { length }) => {
        const power = axis === 0 ? images : axis === length - 1 ? channels : tokens;
        return Math.ceil(extent * epsilon ** power);
      }),
    ]),
  );
}

const TYPICAL = { images: 1.7, tokens: 4, channels: 6 } as const;

/**
 * The node that makes the gradient of `parameter` from the tensor beside `x`: dWᵀ = xᵀ dy. Returns
 * dy. Throws ConfigError where another method has made the gradient.
 */
export function besideInput(train: TrainGraph, parameter: string, x: ValueId | null): Value {
  const node = gradientNode(train, parameter);
  const { transA, transB } = node?.params ?? {};
  if (node?.op === 'matmul' && transA === true && transB !== true) {
    if (x === null || node.inputs.b === x) return train.graph.values[node.inputs.a];
  }
  throw new ConfigError({
    where: `gradient of ${parameter}`,
    expected: 'the product of dL/dy with the input of its linear',
    got: 'one that another method has in a form of its own',
    todo: 'Compose at most one method that changes how a weight gets its gradient',
  });
}

/** The product behind it: a weight [O, I, 1, 1] has it under another shape. */
function gradientNode(train: TrainGraph, parameter: string): Node | undefined {
  const { nodes } = train.graph;
  const makes = (id: ValueId | undefined) =>
    nodes.find(({ outputs }) => Object.values(outputs).some((output) => output === id));
  const node = makes(denseGradient(train, parameter));
  return node?.op === reshape.name ? makes(node.inputs.x) : node;
}

/**
 * Features of one token each are too few to compress; ranks are those of inputs with all tokens, and
 * what has to be compressed is not narrowed.
 */
function mayCompress({ narrowed }: ModelGraph, linear: Linear): boolean {
  const isWhole = linear.x.type.shape.length >= 3 && !narrowed?.has(linear.weight);
  return isWhole && isTrained(linear);
}

function freed(model: ModelGraph, candidates: readonly Linear[]): readonly Linear[] {
  if (candidates.length === 0) return [];
  const train = differentiate(model.graph, 'loss');
  const own = new Set(
    candidates.map(({ form }) =>
      gradientNode(train, form.kind === 'dense' ? form.weight.name : form.right.name),
    ),
  );
  const memory = viewedMemory(train.graph);
  const read = new Set<ValueId>();
  for (const node of train.graph.nodes.slice(model.graph.nodes.length)) {
    if (own.has(node)) continue;
    for (const id of Object.values(node.inputs)) read.add(memory(id));
  }
  return candidates.filter(({ x }) => !read.has(memory(x.id)));
}

/** The value whose memory each value shows: itself, unless it is a view. */
function viewedMemory(graph: Graph): (id: ValueId) => ValueId {
  const shown = new Map<ValueId, ValueId>();
  const memory = (id: ValueId): ValueId => shown.get(id) ?? id;
  for (const node of graph.nodes) {
    const { view } = opNamed(node.op);
    if (view) shown.set(node.outputs[view[0]], memory(node.inputs[view[1]]));
  }
  return memory;
}

function modesOf({ weight, x }: Linear, ranks: readonly number[]): readonly TuckerMode[] {
  const { shape } = x.type;
  if (ranks.length !== shape.length) {
    throw new ConfigError({
      where: `Tucker ranks of ${weight}`,
      expected: `${String(shape.length)} ranks, a mode of its input [${shape.join(',')}] each`,
      got: `[${ranks.join(',')}]`,
      todo: 'Find the ranks again for this model',
    });
  }
  return shape.flatMap((extent, axis): readonly TuckerMode[] => {
    checkRank(weight, shape, axis, ranks[axis]);
    const others = elements(shape) / extent;
    const rank = Math.min(ranks[axis], others);
    return ranks[axis] === extent ? [] : [{ axis, extent, rank }];
  });
}

function checkRank(weight: string, shape: Shape, axis: number, rank: number): void {
  if (Number.isSafeInteger(rank) && rank >= 1 && rank <= shape[axis]) return;
  const mode = `mode ${String(axis)} of its input [${shape.join(',')}]`;
  throw new ConfigError({
    where: `Tucker ranks of ${weight}`,
    expected: `a whole number from 1 to ${String(shape[axis])} for ${mode}`,
    got: String(rank),
    todo: 'Find the ranks again for this model and batch size',
  });
}

/** Throws ConfigError unless each list has a rank for every mode of the input of the linear of its name. */
export function checkInputRanks(all: readonly Linear[], ranks: Ranks['activations']): void {
  checkNames(all, ranks);
  const chosen = all.filter(({ weight }) => Object.hasOwn(ranks, weight));
  for (const linear of chosen) modesOf(linear, ranks[linear.weight]);
}

function checkNames(all: readonly Linear[], ranks: Ranks['activations']): void {
  const known = new Set(all.map(({ weight }) => weight));
  const stranger = Object.keys(ranks).find((name) => !known.has(name));
  if (stranger === undefined) return;
  throw new ConfigError({
    where: 'Tucker ranks',
    expected: 'weights of linears in the blocks of the model',
    got: `"${stranger}"`,
    todo: 'Find the ranks again for this model',
  });
}
