/**
 * factor: the decompositions, as programs. W [O, I] ≈ L R with L [O, K] orthonormal columns and R [K, I].
 *
 * Plain: with n = min(O, I) and the eigenvectors v of W Wᵀ (O ≤ I) or Wᵀ W (O > I) as rows of V_K [K, n],
 *   O ≤ I   Lᵀ = V_K               O > I   Lᵀ = orth(V_K Wᵀ)               R = Lᵀ W
 *
 * In the metric of the data (moments.ts), with cᵀc = M and V_K of c S cᵀ, the optimum W_K = X Z has
 *   O ≤ I   Xᵀ = V_K c⁻ᵀ, Z = V_K c W          O > I   Xᵀ = V_K c Wᵀ, Z = V_K c⁻ᵀ
 * and is brought to the form above by Lᵀ = orth(Xᵀ), R = (Lᵀ X) Z. Proof for O > I: M = C = cᵀc; the best
 * approximation of A = G½ W cᵀ is A V_KᵀV_K, and A Aᵀ has the same eigenvalues as AᵀA = c (Wᵀ G W) cᵀ = c S cᵀ;
 * so W_K cᵀ = W cᵀ V_KᵀV_K. For O ≤ I turn everything round.
 *
 * Gram matrix, decomposition and factors are programs of their own, so that W and the work of a decomposition
 * are not in memory together; n² or K n numbers go from one to the next.
 *
 * orth keeps the order of rows, so the columns of L come in the order of energy.
 */
import { InternalError } from '../errors.js';
import type { Graph, Value } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import { GraphBuilder } from '../ops/builder.js';
import { cholesky } from '../ops/cholesky.js';
import { matmul, PLAIN, TRANSPOSED_A, TRANSPOSED_B } from '../ops/matmul.js';
import type { MatmulParams } from '../ops/matmul-sizes.js';
import { orthonormalise } from '../ops/orthonormalise.js';
import { reshaped } from '../ops/reshape.js';
import { sliceTokens } from '../ops/slice-tokens.js';
import { symmetricEigen } from '../ops/symmetric-eigen.js';

/** A weight to factor. */
export interface FactorShape {
  readonly outputs: number;
  readonly inputs: number;
  readonly rank: number;
}

/** Of input `weight` [O, I]: output `gram` [n, n], W Wᵀ, or Wᵀ W where O > I. */
export function gramGraph(outputs: number, inputs: number): Graph {
  const builder = new GraphBuilder();
  const w = builder.input('weight', f32(outputs, inputs));
  const wide = isWide(w);
  return builder.build({
    gram: product(builder, 'gram', w, w, wide ? TRANSPOSED_A : TRANSPOSED_B),
  });
}

/** Of input `gram` [n, n]: output `energies` [n], the squared singular values, descending. */
export function plainSpectrum(size: number): Graph {
  const builder = new GraphBuilder();
  return builder.build({ energies: energiesOf(builder, builder.input('gram', f32(size, size))) });
}

/**
 * Of the moments `metric` and `signal` [n, n]: output `root` [n, n], upper triangular with rootᵀ root = M,
 * and `energies` [n], descending.
 */
export function dataSpectrum(size: number): Graph {
  const builder = new GraphBuilder();
  const metric = builder.input('metric', f32(size, size));
  const signal = builder.input('signal', f32(size, size));
  const { root } = rootOf(builder, metric);
  return builder.build({ root, energies: energiesOf(builder, coreOf(builder, root, signal)) });
}

/** What a truncation keeps of W: from `gram` [n, n] to the output `near` [K, n], which is V_K. */
export function plainDirections(size: number, rank: number): Graph {
  const builder = new GraphBuilder();
  return builder.build({ near: leading(builder, builder.input('gram', f32(size, size)), rank) });
}

/** In the metric of the data: from `root` and `signal` [n, n] to `near` V_K c and `far` V_K c⁻ᵀ [K, n]. */
export function dataDirections(size: number, rank: number): Graph {
  const builder = new GraphBuilder();
  const given = builder.input('root', f32(size, size));
  const signal = builder.input('signal', f32(size, size));
  // The root was rounded: its own square is the metric whose inverse belongs to it.
  const metric = product(builder, 'metric', given, given, TRANSPOSED_A);
  const { root, inverse } = rootOf(builder, metric);
  const v = leading(builder, coreOf(builder, root, signal), rank);
  return builder.build({
    near: product(builder, 'near', v, root),
    far: product(builder, 'far', v, inverse, TRANSPOSED_B),
  });
}

/**
 * Factors of a weight: from `weight` [O, I], `near` and, in the metric of the data, `far` to the outputs
 * `left` [K, O], which is Lᵀ, and `right` [K, I].
 */
export function factorGraph({ outputs, inputs, rank }: FactorShape, data: boolean): Graph {
  const builder = new GraphBuilder();
  const directions = f32(rank, Math.min(outputs, inputs));
  const w = builder.input('weight', f32(outputs, inputs));
  const near = builder.input('near', directions);
  const far = data ? builder.input('far', directions) : near;
  const wide = isWide(w);
  const basis = wide ? product(builder, 'basis', near, w, TRANSPOSED_B) : far;
  const left = builder.emit(orthonormalise, { y: basis }, {}, 'left').q;
  if (!data) return builder.build({ left, right: product(builder, 'right', left, w) });
  const rest = wide ? far : product(builder, 'rest', near, w);
  const turn = product(builder, 'turn', left, basis, TRANSPOSED_B);
  return builder.build({ left, right: product(builder, 'right', turn, rest) });
}

function isWide({ type }: Value): boolean {
  return type.shape[0] > type.shape[1];
}

function energiesOf(builder: GraphBuilder, a: Value): Value {
  return builder.emit(symmetricEigen, { a }, {}, 'energies').values;
}

/** c with cᵀc = M, and c⁻¹. */
function rootOf(builder: GraphBuilder, metric: Value) {
  const { c, inverse } = builder.emit(cholesky, { a: metric }, { ridge: 0 }, 'root');
  if (!c || !inverse) throw InternalError.of('cholesky', 'results', 'none');
  return { root: c, inverse };
}

/** c S cᵀ */
function coreOf(builder: GraphBuilder, root: Value, signal: Value): Value {
  const half = product(builder, 'half', root, signal);
  return product(builder, 'core', half, root, TRANSPOSED_B);
}

/** The eigenvectors of the `rank` largest values, as rows. */
function leading(builder: GraphBuilder, a: Value, rank: number): Value {
  const { vectors } = builder.emit(symmetricEigen, { a }, {}, 'eigen');
  if (!vectors) throw InternalError.of('symmetric_eigen', 'vectors', 'none');
  return firstRows(builder, vectors, rank);
}

function product(
  builder: GraphBuilder,
  name: string,
  a: Value,
  b: Value,
  params: MatmulParams = PLAIN,
): Value {
  return builder.emit(matmul, { a, b }, params, name).y;
}

/** The first rows of a [n, D]. */
function firstRows(builder: GraphBuilder, a: Value, rows: number): Value {
  const [all, width] = a.type.shape;
  if (rows === all) return a;
  const stacked = reshaped(builder, a, [1, all, width]);
  const first = builder.emit(sliceTokens, { x: stacked }, { start: 0, count: rows }, 'first').y;
  return reshaped(builder, first, [rows, width]);
}
