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
 * orth keeps the order of rows, so the columns of L come in the order of energy.
 */
import type { Graph, Value } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import { GraphBuilder } from '../ops/builder.js';
import { cholesky } from '../ops/cholesky.js';
import { matmul } from '../ops/matmul.js';
import { orthonormalise } from '../ops/orthonormalise.js';
import { reshaped } from '../ops/reshape.js';
import { sliceTokens } from '../ops/slice-tokens.js';
import { symmetricEigen } from '../ops/symmetric-eigen.js';

/** A weight to factor, by position in its block. */
export interface FactorShape {
  readonly outputs: number;
  readonly inputs: number;
  readonly rank: number;
}

const PARAMS = { transA: false, transB: false, gelu: false, batched: false } as const;

/**
 * Energies in descending order: output `i` for the gram matrix or moments of size `sizes[i]`.
 *
 * Inputs: `metric.i` and `signal.i` in the metric of the data, `gram.i` without.
 */
export function spectraGraph(sizes: readonly number[], data: boolean): Graph {
  const builder = new GraphBuilder();
  const outputs = sizes.map((size, index): [string, Value] => {
    const name = String(index);
    const core = data
      ? dataCore(builder, name, size).core
      : builder.input(`gram.${name}`, f32(size, size));
    return [name, builder.emit(symmetricEigen, { a: core }, {}, `eigen.${name}`).values];
  });
  return builder.build(Object.fromEntries(outputs));
}

/**
 * Factors of the weights of a block: from the inputs `weight.i` [O, I] and, in the metric of the data,
 * `metric.i` and `signal.i` to the outputs `left.i` [K, O], which is Lᵀ, and `right.i` [K, I].
 */
export function factorGraph(shapes: readonly FactorShape[], data: boolean): Graph {
  const builder = new GraphBuilder();
  const outputs: Record<string, Value> = {};
  for (const [index, shape] of shapes.entries()) {
    const name = String(index);
    const { left, right } = builder.scope(`factor.${name}`, () =>
      factors(builder, name, shape, data),
    );
    outputs[`left.${name}`] = left;
    outputs[`right.${name}`] = right;
  }
  return builder.build(outputs);
}

/** c S cᵀ with cᵀc = M, and c and c⁻¹. */
function dataCore(builder: GraphBuilder, name: string, size: number) {
  const metric = builder.input(`metric.${name}`, f32(size, size));
  const signal = builder.input(`signal.${name}`, f32(size, size));
  const { c, inverse } = builder.emit(cholesky, { a: metric }, { ridge: 0 }, 'root');
  if (!c || !inverse) throw new Error('cholesky without results');
  const half = product(builder, 'half', c, signal);
  return { core: product(builder, 'core', half, c, { transB: true }), c, inverse };
}

function factors(builder: GraphBuilder, name: string, shape: FactorShape, data: boolean) {
  const { outputs, inputs, rank } = shape;
  const wide = outputs > inputs;
  const w = builder.input(`weight.${name}`, f32(outputs, inputs));
  if (!data) {
    const gram = product(builder, 'gram', w, w, { transA: wide, transB: !wide });
    const v = leading(builder, gram, rank);
    const basis = wide ? product(builder, 'basis', v, w, { transB: true }) : v;
    const left = builder.emit(orthonormalise, { y: basis }, {}, 'left').q;
    return { left, right: product(builder, 'right', left, w) };
  }
  const { core, c, inverse } = dataCore(builder, name, Math.min(outputs, inputs));
  const v = leading(builder, core, rank);
  const near = product(builder, 'near', v, c);
  const far = product(builder, 'far', v, inverse, { transB: true });
  const basis = wide ? product(builder, 'basis', near, w, { transB: true }) : far;
  const rest = wide ? far : product(builder, 'rest', near, w);
  const left = builder.emit(orthonormalise, { y: basis }, {}, 'left').q;
  const turn = product(builder, 'turn', left, basis, { transB: true });
  return { left, right: product(builder, 'right', turn, rest) };
}

/** The eigenvectors of the `rank` largest values, as rows. */
function leading(builder: GraphBuilder, a: Value, rank: number): Value {
  const { vectors } = builder.emit(symmetricEigen, { a }, {}, 'eigen');
  if (!vectors) throw new Error('symmetric_eigen without vectors');
  return firstRows(builder, vectors, rank);
}

function product(
  builder: GraphBuilder,
  name: string,
  a: Value,
  b: Value,
  params: { readonly transA?: boolean; readonly transB?: boolean } = {},
): Value {
  return builder.emit(matmul, { a, b }, { ...PARAMS, ...params }, name).y;
}

/** The first rows of a [n, D]. */
function firstRows(builder: GraphBuilder, a: Value, rows: number): Value {
  const [all, width] = a.type.shape;
  if (rows === all) return a;
  const stacked = reshaped(builder, a, [1, all, width]);
  const first = builder.emit(sliceTokens, { x: stacked }, { start: 0, count: rows }, 'first').y;
  return reshaped(builder, first, [rows, width]);
}
