/**
 * perplexity: what a linear's weight gradient loses when its input is held in Tucker form, as programs.
 *
 * With input x [D_0, …, D_d] (batch, tokens or height and width, then inputs), output gradient g and weight
 * gradient dW = gᵀ x over all rows, truncating x to ranks r_m gives dW̃, and the perplexity is ‖dW̃ − dW‖_F.
 * Let U_m [R_m, D_m] hold the eigenvectors of mode m's Gram matrix as rows, largest first; all that x has, or
 * the first LARGEST_EIGEN of a very large mode. With x rotated by every mode, x̂ = x ×_m U_m, and g by all but
 * the last, ĝ, a truncation is a mask: rows (a, b) of x̂ with a < r_0, b < r_1, and columns c < r_d. So one
 * rotation serves any number of ranks:
 *
 *   ‖dW̃ − dW‖² = Σ_{c < r_d} ‖ĝᵀ (mask ∘ x̂)_c − D_c‖² + ‖dW‖² − Σ_{c < r_d} ‖D_c‖²,   D = dW U_dᵀ
 *
 * Reference: Nguyen et al., "Beyond low-rank tuning: activation subspace iteration", ICML 2025
 * (arXiv:2505.05086), for the table; there it is computed layer by layer and rank by rank.
 */
import { InternalError } from '../errors.js';
import type { Graph, Value, ValueId } from '../ir/graph.js';
import { elements, f32, type Shape } from '../ir/types.js';
import { LARGEST_EIGEN, started } from '../methods/tucker.js';
import { assign } from '../ops/assign.js';
import { GraphBuilder } from '../ops/builder.js';
import { matmul, PLAIN, TRANSPOSED_A, TRANSPOSED_B } from '../ops/matmul.js';
import { modeContract } from '../ops/mode-contract.js';
import { modeProduct } from '../ops/mode-product.js';
import { multiply } from '../ops/multiply.js';
import { orthonormalise } from '../ops/orthonormalise.js';
import { reshaped } from '../ops/reshape.js';
import { sumRows } from '../ops/sum-rows.js';
import { sumSquares } from '../ops/sum-squares.js';
import { symmetricEigen } from '../ops/symmetric-eigen.js';
import { backwardPart } from './backward.js';
import type { Site, SitedPart } from './sites.js';

/** Directions of a mode that are looked at, unless there are fewer. */
export const MOST_DIRECTIONS = LARGEST_EIGEN;

/** R_m: how many directions of a mode are looked at. There are no more than other elements. */
export function directionCount(shape: Shape, mode: number, most: number): number {
  return Math.min(shape[mode], most, elements(shape) / shape[mode]);
}

/** True when R_m directions are all that a mode has. */
export function knowsAll(shape: Shape, mode: number, most: number): boolean {
  return directionCount(shape, mode, most) === directionCount(shape, mode, Infinity);
}

/**
 * Forward and backward pass of a part from `x` and `dy`: outputs `x.i` and `g.i`, the input of site i and the
 * gradient of its output, and `dx`.
 */
export function passGraph({ part, sites }: SitedPart): Graph {
  const wanted = sites.map(({ y }) => y);
  const { graph, gradient } = backwardPart(part, wanted);
  const outputs: Record<string, ValueId> = { dx: gradient(part.x).id };
  sites.forEach(({ x, y }, index) => {
    outputs[`x.${String(index)}`] = x.id;
    outputs[`g.${String(index)}`] = gradient(y).id;
  });
  return { ...graph, outputs };
}

/**
 * Sets the states that hold each U_m of the input `x` and gives, as output `m`, the eigenvalues of mode m in
 * descending order, and as output `energy` ‖x‖².
 *
 * @param most R_m is at most this
 */
export function modesGraph(shape: Shape, most: number): Graph {
  const builder = new GraphBuilder();
  const x = builder.input('x', f32(...shape));
  const outputs: Record<string, Value> = {};
  shape.forEach((_, mode) => {
    const name = String(mode);
    const { values, basis } = builder.scope(`modes.${name}`, () =>
      directions(builder, x, mode, most),
    );
    const target = basisState(builder, shape, mode, most);
    builder.emit(assign, { target, value: basis }, {}, `keep.${name}`);
    outputs[name] = values;
  });
  outputs.energy = builder.emit(sumSquares, { x }, {}, 'energy').y;
  return builder.build(outputs);
}

/**
 * From `x` and `g` with the states of modesGraph. Inputs `mask.j` [R_0, …, R_{d−1}] hold −1 for the rows of x̂
 * that option j keeps and 0 for the others. Outputs: `total` is ‖dW‖²; by column c, `full` holds ‖D_c‖² and
 * `error.j` holds ‖ĝᵀ(mask ∘ x̂)_c − D_c‖².
 *
 * @param options how many there are
 */
export function perplexityGraph(site: Site, options: number, most: number): Graph {
  const { shape } = site.x.type;
  const builder = new GraphBuilder();
  const given = builder.input('x', f32(...shape));
  const g = builder.input('g', site.y.type);
  const bases = shape.map((_, mode) => basisState(builder, shape, mode, most));
  const rotate = (x: Value, mode: number, name: string) =>
    builder.emit(modeProduct, { x, u: bases[mode] }, { mode, transposed: false }, name).y;
  const whole = builder.emit(matmul, { a: g, b: given }, TRANSPOSED_A, 'whole').y;
  const columns = rotate(given, shape.length - 1, 'columns');
  const d = builder.emit(matmul, { a: g, b: columns }, TRANSPOSED_A, 'd').y;
  const all = [...shape.keys()].slice(0, -1);
  const x = all.reduce((v, mode) => rotate(v, mode, 'x'), columns);
  const rotated = all.reduce((v, mode) => rotate(v, mode, 'g'), g);
  const outputs: Record<string, Value> = {
    total: builder.emit(sumSquares, { x: whole }, {}, 'total').y,
    full: columnSquares(builder, d),
  };
  for (let option = 0; option < options; option++) {
    const name = String(option);
    const mask = builder.input(`mask.${name}`, f32(...x.type.shape.slice(0, -1)));
    const kept = builder.emit(multiply, { a: x, b: mask }, {}, 'kept').y;
    const error = builder.emit(
      matmul,
      { a: rotated, b: kept, residual: d },
      TRANSPOSED_A,
      'error',
    ).y;
    outputs[`error.${name}`] = columnSquares(builder, error);
  }
  return builder.build(outputs);
}

/** Leading eigenvectors of a mode's Gram matrix [R, D] and their eigenvalues. */
function directions(builder: GraphBuilder, x: Value, axis: number, most: number) {
  const { shape } = x.type;
  const extent = shape[axis];
  const rank = directionCount(shape, axis, most);
  if (rank === extent) return eigen(builder, x, axis);
  if (axis === shape.length - 1 && knowsAll(shape, axis, most)) return fewRows(builder, x);
  // Eigenvectors within the subspace (Rayleigh–Ritz), turned back to the axis.
  const u = started(builder, x, { axis, extent, rank });
  const params = { mode: axis, transposed: false };
  const inside = builder.emit(modeProduct, { x, u }, params, 'inside').y;
  const { values, basis } = eigen(builder, inside, axis);
  return { values, basis: builder.emit(matmul, { a: basis, b: u }, PLAIN, 'basis').y };
}

/** Of the last mode of an x with fewer rows A than columns: A Aᵀ has the same eigenvalues, and orth(V A) the vectors. */
function fewRows(builder: GraphBuilder, x: Value) {
  const extent = x.type.shape[x.type.shape.length - 1];
  const rows = reshaped(builder, x, [elements(x.type.shape) / extent, extent]);
  const a = builder.emit(matmul, { a: rows, b: rows }, TRANSPOSED_B, 'gram').y;
  const { values, vectors } = builder.emit(symmetricEigen, { a }, {}, 'eigen');
  if (!vectors) throw InternalError.of('symmetric_eigen', 'vectors', 'none');
  const y = builder.emit(matmul, { a: vectors, b: rows }, PLAIN, 'turned').y;
  return { values, basis: builder.emit(orthonormalise, { y }, {}, 'basis').q };
}

function eigen(builder: GraphBuilder, x: Value, mode: number) {
  const a = builder.emit(modeContract, { x, z: x }, { mode }, 'gram').y;
  const { values, vectors } = builder.emit(symmetricEigen, { a }, {}, 'eigen');
  if (!vectors) throw InternalError.of('symmetric_eigen', 'vectors', 'none');
  return { values, basis: vectors };
}

function basisState(builder: GraphBuilder, shape: Shape, mode: number, most: number): Value {
  const name = `basis.${String(mode)}`;
  const type = f32(directionCount(shape, mode, most), shape[mode]);
  return builder.state(name, type, 'activation');
}

/** Σ_r v[r, c]² */
function columnSquares(builder: GraphBuilder, v: Value): Value {
  const squares = builder.emit(multiply, { a: v, b: v }, {}, 'squares').y;
  return builder.emit(sumRows, { x: squares }, { axes: 1 }, 'columns').y;
}
