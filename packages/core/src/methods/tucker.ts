/**
 * Saved inputs in Tucker form: the activation axis of ASI, WASI and HOSVD.
 *
 * The input x [D_1 … D_d] of a linear is saved for the backward pass as a core and a factor per mode,
 * x ≈ S ×_1 U_1ᵀ … ×_d U_dᵀ with U_m [r_m, D_m], rows orthonormal, S = x ×_1 U_1 … ×_d U_d. The
 * forward pass and dL/dx are untouched; only dL/dW sees the approximation x̂. With dy = dL/dy:
 *
 *   g = dy ×_m U_m for all modes but the last     [r_1 … r_{d−1}, O]
 *   p = Sᵀ g,  q = U_d,  dL/dW = dyᵀ x̂ = pᵀ q     p [r_d, O], q [r_d, I]
 *
 * The factors come from one of three refreshes, run at every step:
 *   whole       one subspace iteration from the last step's factor: U_m⁺ = orth(U_m A_m A_mᵀ), A_m
 *               the unfolding of x. U_m is the state `<weight>.tucker.<m>`, set by `startGraph`.
 *   sequential  the same iteration, with A_m the unfolding of what the modes before it have left,
 *               x ×_1 U_1⁺ … ×_{m−1} U_{m−1}⁺, in the order that costs least: a mode that shrinks x
 *               is read three times at its full size, the others at the size that is left. x̂ is an
 *               orthogonal projection of x all the same, and the fixed point has HOSVD's bound of
 *               error: the energies that the modes lose, added up. ViT-Ti/16 on photos, dense
 *               weights, batch 16, one run of ten steps of sgd 0.02: losses are as near to those of
 *               full training as with `whole` (the last one: full 0.064; at ε = 0.5 0.071 beside
 *               0.106, at 0.7 0.071 beside 0.081).
 *   decompose   the first r_m eigenvectors of A_m A_mᵀ; no state.
 * But for `sequential`, every mode uses the whole x. A mode of full rank has no factor and takes part
 * in no product.
 *
 * Saved: the core, Π r_m elements; with `decompose` also the factors, Σ r_m D_m (with `whole`
 * they are states anyway). Invariant: nothing behind the forward pass reads x. A batch is never
 * partial: U_1 belongs to a fixed number of images, and training drops an epoch's incomplete rest.
 *
 * Reference: Nguyen et al., ASI, ICML 2025 (arXiv 2505.05086); De Lathauwer et al., A multilinear
 * singular value decomposition, SIAM J. Matrix Anal. Appl. 2000; for `sequential`, Vannieuwenhoven
 * et al., A new truncation strategy for the higher-order SVD, SIAM J. Sci. Comput. 2012. ASI
 * contracts dy and S in another order, whose product costs O·I·N·r_1; the result is the same.
 */
import { InternalError } from '../errors.js';
import type { Graph, ModelGraph, Parameter, TrainGraph, Value, ValueId } from '../ir/graph.js';
import { outputValues, type ProductGradient } from '../ir/graph.js';
import { hoist } from '../ir/order.js';
import { elements, f32, type Shape } from '../ir/types.js';
import { assign } from '../ops/assign.js';
import { GraphBuilder } from '../ops/builder.js';
import { matmul, TRANSPOSED_A, TRANSPOSED_B } from '../ops/matmul.js';
import { modeContract } from '../ops/mode-contract.js';
import { modeProduct } from '../ops/mode-product.js';
import { orthonormalise } from '../ops/orthonormalise.js';
import { reshape, reshaped, reshapeParams } from '../ops/reshape.js';
import { sliceTokens } from '../ops/slice-tokens.js';
import { symmetricEigen } from '../ops/symmetric-eigen.js';
import type { MethodEntry } from './method.js';
import type { Ranks, Refresh } from './ranks.js';
import { besideInput, compressions, type Compression, type TuckerMode } from './tucker-ranks.js';

/**
 * Modes above this extent do not start from eigenvectors, which cost 9 D³, but from the first r
 * coordinate directions and this many iterations. After four, the energy lost is within 3 % of the
 * HOSVD's for channels (the only such modes), and every training step is one more. Measured on
 * inputs of fc1 and fc2 of DeiT-Ti: 1.4, 1.1, 1.04, 1.03 times the least loss at ε = 0.8.
 */
export const LARGEST_EIGEN = 1024;
const START_ROUNDS = 4;

/**
 * The train graph with the inputs that `ranks` names held in Tucker form.
 *
 * The weight's gradient becomes pᵀ q: as a product for a low-rank weight, in the place of the
 * gradients of its sides; as a matrix for a dense weight and for the right side of an adapter. A low-
 * rank weight whose last mode has full rank keeps a gradient for each side, from the core: pᵀ q
 * would be a dense matrix.
 *
 * @param model the forward graph that `train` was differentiated from
 * Throws ConfigError for ranks that do not fit the model.
 */
export function compressInputs(
  train: TrainGraph,
  model: ModelGraph,
  ranks: Ranks['activations'],
  refresh: Refresh,
): TrainGraph {
  const builder = new GraphBuilder(train.graph);
  const gradients = new Map(train.gradients);
  for (const compression of compressions(model, ranks)) {
    const { linear } = compression;
    const tucker = builder.scope(scopeOf(compression), () =>
      compress(builder, compression, refresh),
    );
    builder.scope(`grad.${scopeOf(compression)}`, () => {
      const { sides, product } = weightGradient(builder, train, compression, tucker);
      for (const [name, value] of sides) gradients.set(name, { kind: 'dense', value });
      if (!product || linear.form.kind !== 'low-rank') return;
      gradients.delete(linear.form.left.name);
      gradients.delete(linear.form.right.name);
      gradients.set(linear.weight, product);
    });
  }
  const graph = builder.build(outputValues(train.graph));
  return { graph: hoist(graph, train.graph.nodes.length), gradients };
}

/** The entry `start`, which runs `startGraph` on the first batch; none when `ranks` compress nothing. */
export function startEntries(
  model: ModelGraph,
  ranks: Ranks['activations'],
): readonly MethodEntry[] {
  const graph = startGraph(model, ranks);
  return graph ? [{ name: 'start', graph, cue: { at: 'start' } }] : [];
}

/**
 * The forward graph that sets the states of `whole` to the truncated HOSVD of its inputs, nearly so
 * for very large modes; null when `ranks` compress nothing. It has no outputs and reads no labels.
 */
function startGraph(model: ModelGraph, ranks: Ranks['activations']): Graph | null {
  const builder = new GraphBuilder(model.graph);
  const all = compressions(model, ranks);
  for (const compression of all) {
    builder.scope(scopeOf(compression), () => {
      for (const mode of compression.modes) {
        const value = started(builder, compression.linear.x, mode);
        const target = factorState(builder, compression, mode);
        builder.emit(assign, { target, value }, {}, `start.${String(mode.axis)}`);
      }
    });
  }
  return all.length === 0 ? null : hoist(builder.build({}), model.graph.nodes.length);
}

/** x in Tucker form; a mode without a factor is not reduced. */
interface Tucker {
  readonly core: Value;
  readonly factors: readonly Factor[];
}

interface Factor {
  readonly axis: number;
  /** U_m [r_m, D_m] */
  readonly u: Value;
}

function scopeOf({ linear }: Compression): string {
  return `${linear.weight}.tucker`;
}

function factorState(builder: GraphBuilder, { linear }: Compression, mode: TuckerMode): Value {
  const name = `${linear.weight}.tucker.${String(mode.axis)}`;
  return builder.state(name, f32(mode.rank, mode.extent), 'activation');
}

function compress(builder: GraphBuilder, compression: Compression, refresh: Refresh): Tucker {
  const { linear, modes } = compression;
  const { x } = linear;
  const next = (from: Value, mode: TuckerMode): Factor => {
    const state = factorState(builder, compression, mode);
    return { axis: mode.axis, u: iterated(builder, from, state, mode) };
  };
  switch (refresh) {
    case 'whole': {
      const factors = modes.map((mode) => next(x, mode));
      return { core: reduced(builder, x, factors, 'core'), factors };
    }
    case 'sequential': {
      const factors: Factor[] = [];
      // Each mode costs three products of the same size, so the order of `reduced` is the cheapest.
      const { order } = cheapestOrder(x.type.shape, modes);
      const core = order.reduce((left, mode, index) => {
        const factor = next(left, mode);
        factors.push(factor);
        return applied(builder, left, factor, partialName('core', index, order.length));
      }, x);
      return { core, factors };
    }
    case 'decompose': {
      const factors = modes.map((mode) => ({
        axis: mode.axis,
        u: decomposed(builder, x, mode),
      }));
      return { core: reduced(builder, x, factors, 'core'), factors };
    }
  }
  return refresh satisfies never;
}

/** U⁺ = orth(U A Aᵀ), written over the state U. */
function iterated(builder: GraphBuilder, x: Value, u: Value, { axis }: TuckerMode): Value {
  const z = projected(builder, x, u, axis);
  const value = turned(builder, x, z, axis);
  return builder.emit(assign, { target: u, value }, {}, `refresh.${String(axis)}`).y;
}

/** z = x ×_m U, the coordinates of x in the subspace. */
function projected(builder: GraphBuilder, x: Value, u: Value, axis: number): Value {
  return applied(builder, x, { axis, u }, `project.${String(axis)}`);
}

/** orth(Z Aᵀ), Z the unfolding of z: the subspace turned towards the largest directions of x. */
function turned(builder: GraphBuilder, x: Value, z: Value, axis: number): Value {
  const { y } = builder.emit(modeContract, { x, z }, { mode: axis }, `iterate.${String(axis)}`);
  return builder.emit(orthonormalise, { y }, {}, `basis.${String(axis)}`).q;
}

/** The factor that training starts with: nearly the first r eigenvectors of A Aᵀ, as rows [r, D]. */
export function started(builder: GraphBuilder, x: Value, mode: TuckerMode): Value {
  const { axis, extent, rank } = mode;
  if (extent <= LARGEST_EIGEN) return decomposed(builder, x, mode);
  const { shape } = x.type;
  const around = [elements(shape.slice(0, axis)), extent, elements(shape.slice(axis + 1))];
  const rows = { start: 0, count: rank };
  const folded = reshaped(builder, x, around);
  const slice = builder.emit(sliceTokens, { x: folded }, rows, `slice.${String(axis)}`).y;
  let u = turned(builder, x, reshaped(builder, slice, shape.with(axis, rank)), axis);
  for (let round = 1; round < START_ROUNDS; round++) {
    u = turned(builder, x, projected(builder, x, u, axis), axis);
  }
  return u;
}

/** The first r eigenvectors of A Aᵀ, as rows [r, D]. */
function decomposed(builder: GraphBuilder, x: Value, { axis, extent, rank }: TuckerMode): Value {
  const at = String(axis);
  const a = builder.emit(modeContract, { x, z: x }, { mode: axis }, `gram.${at}`).y;
  const { vectors } = builder.emit(symmetricEigen, { a }, {}, `eigen.${at}`);
  if (!vectors) throw InternalError.of('symmetric_eigen', 'vectors before pruning', 'none');
  const rows = { start: 0, count: rank };
  const one = reshaped(builder, vectors, [1, extent, extent]);
  const first = builder.emit(sliceTokens, { x: one }, rows, `first.${at}`).y;
  return builder.emit(reshape, { x: first }, reshapeParams([rank, extent]), `factor.${at}`).y;
}

/**
 * x ×_m U_m over `factors`, in the order that costs the fewest operations; nodes `name.partial` and
 * at last `name`.
 */
function reduced(builder: GraphBuilder, x: Value, factors: readonly Factor[], name: string): Value {
  const ranked = factors.map((factor) => ({ ...factor, rank: factor.u.type.shape[0] }));
  const { order } = cheapestOrder(x.type.shape, ranked);
  return order.reduce(
    (y, factor, index) => applied(builder, y, factor, partialName(name, index, order.length)),
    x,
  );
}

function partialName(name: string, index: number, count: number): string {
  return index < count - 1 ? `${name}.partial` : name;
}

/** x ×_m U_m */
function applied(builder: GraphBuilder, x: Value, { axis, u }: Factor, name: string): Value {
  return builder.emit(modeProduct, { x, u }, { mode: axis, transposed: false }, name).y;
}

/**
 * The order in which reducing every mode to its rank costs least; there are at most four modes.
 * `cost` counts multiply-adds of one product for each.
 */
export function cheapestOrder<M extends Pick<TuckerMode, 'axis' | 'rank'>>(
  shape: Shape,
  modes: readonly M[],
): { readonly order: readonly M[]; readonly cost: number } {
  const orders = modes.map((first) => {
    const rest = modes.filter((mode) => mode !== first);
    const after = cheapestOrder(shape.with(first.axis, first.rank), rest);
    return { order: [first, ...after.order], cost: elements(shape) * first.rank + after.cost };
  });
  return orders.reduce((best, next) => (next.cost < best.cost ? next : best), {
    order: [],
    cost: modes.length === 0 ? 0 : Infinity,
  });
}

interface WeightGradient {
  /** Gradients of parameters as they are, by name. */
  readonly sides: readonly (readonly [string, ValueId])[];
  readonly product: ProductGradient | null;
}

function weightGradient(
  builder: GraphBuilder,
  train: TrainGraph,
  { linear }: Compression,
  tucker: Tucker,
): WeightGradient {
  const { form, x } = linear;
  const last = x.type.shape.length - 1;
  const { core } = tucker;
  const others = tucker.factors.filter(({ axis }) => axis !== last);
  const q = tucker.factors.find(({ axis }) => axis === last)?.u;
  const transposedProduct = (a: Value, b: Value, name: string) =>
    builder.emit(matmul, { a, b }, TRANSPOSED_A, name).y;
  const dy = (parameter: string, input: ValueId | null) =>
    reduced(builder, besideInput(train, parameter, input), others, 'g');
  /** dyᵀ x̂ for the dy beside x in the gradient of `parameter`. */
  const dense = ({ name, type }: Parameter): readonly [string, ValueId] => {
    const g = dy(name, x.id);
    const w = q
      ? transposedProduct(transposedProduct(core, g, 'p'), q, 'weight')
      : transposedProduct(g, core, 'weight');
    return [name, reshaped(builder, w, type.shape).id];
  };
  switch (form.kind) {
    case 'dense':
      return { sides: [dense(form.weight)], product: null };
    case 'adapter':
      return { sides: [dense(form.right)], product: null };
    case 'low-rank': {
      const g = dy(form.left.name, null);
      if (q) {
        const p = transposedProduct(core, g, 'p');
        return { sides: [], product: { kind: 'product', p: p.id, q: q.id } };
      }
      const z = builder.emit(matmul, { a: core, b: form.right }, TRANSPOSED_B, 'z').y;
      const left = transposedProduct(g, z, 'left');
      return { sides: [[form.left.name, left.id], dense(form.right)], product: null };
    }
  }
  return form satisfies never;
}
