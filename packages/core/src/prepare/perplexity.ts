/**
 * perplexity: what a linear's weight gradient loses when its input is held in Tucker form, as programs.
 *
 * With input x [D_0, …, D_d] (batch, tokens or height and width, then inputs), output gradient g and weight
 * gradient dW = gᵀ x over all rows, truncating x to ranks r_m gives dW̃, and the perplexity is ‖dW̃ − dW‖_F.
 * Let U_m [R_m, D_m] hold the eigenvectors of mode m's Gram matrix as rows, largest first; all of them, or the
 * first LARGEST_EIGEN of a very large mode. With x rotated by every mode, x̂ = x ×_m U_m, and g by all but
 * the last, ĝ, a truncation is a mask: rows (a, b) of x̂ with a < r_0, b < r_1, and columns c < r_d. So one
 * rotation serves any number of ranks:
 *
 *   ‖dW̃ − dW‖² = Σ_{c < r_d} ‖ĝᵀ (mask ∘ x̂)_c − D_c‖² + ‖dW‖² − Σ_{c < r_d} ‖D_c‖²,   D = dW U_dᵀ
 *
 * Reference: Nguyen et al., "Beyond low-rank tuning: activation subspace iteration", ICML 2025
 * (arXiv:2505.05086), for the table; there it is computed layer by layer and rank by rank.
 */
import { backpropagate } from '../autodiff.js';
import type { Graph, Value } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import { LARGEST_EIGEN, started } from '../methods/tucker.js';
import { assign } from '../ops/assign.js';
import { GraphBuilder } from '../ops/builder.js';
import { matmul } from '../ops/matmul.js';
import { modeContract } from '../ops/mode-contract.js';
import { modeProduct } from '../ops/mode-product.js';
import { multiply } from '../ops/multiply.js';
import { sumRows } from '../ops/sum-rows.js';
import { sumSquares } from '../ops/sum-squares.js';
import { symmetricEigen } from '../ops/symmetric-eigen.js';
import type { Site, SitedPart } from './sites.js';

const PRODUCT = { transA: false, transB: false, gelu: false, batched: false } as const;
const OF_ROWS = { ...PRODUCT, transA: true } as const;

/** Directions of a mode that are looked at, unless there are fewer. */
export const MOST_DIRECTIONS = LARGEST_EIGEN;

/**
 * Forward pass of a part on `x`: sets the states that hold each site's U_m and gives, as output `i.m`, the
 * eigenvalues of site i's mode m in descending order, and as output `i.energy` ‖x‖².
 *
 * @param most R_m is at most this
 */
export function modesGraph({ part, sites }: SitedPart, most: number): Graph {
  const builder = new GraphBuilder(part.graph);
  const outputs: Record<string, Value> = {};
  sites.forEach((site, index) => {
    const { x } = site;
    x.type.shape.forEach((_, mode) => {
      const name = `${String(index)}.${String(mode)}`;
      const { values, basis } = builder.scope(`modes.${name}`, () =>
        directions(builder, x, mode, most),
      );
      const target = basisState(builder, site, index, mode, most);
      builder.emit(assign, { target, value: basis }, {}, `keep.${name}`);
      outputs[name] = values;
    });
    const energy = `${String(index)}.energy`;
    outputs[energy] = builder.emit(sumSquares, { x }, {}, energy).y;
  });
  return builder.build(outputs);
}

/**
 * Forward and backward pass of a part on `x` and `dy`. Inputs `mask.i.j` [R_0, …, R_{d−1}] hold −1 for the
 * rows of x̂ that option j of site i keeps and 0 for the others. Outputs: `total.i` is ‖dW‖²; by column c,
 * `full.i` holds ‖D_c‖² and `error.i.j` holds ‖ĝᵀ(mask ∘ x̂)_c − D_c‖².
 *
 * @param options how many options each site has
 */
export function perplexityGraph(
  { part, sites }: SitedPart,
  options: readonly number[],
  most: number,
): Graph {
  const forward = new GraphBuilder(part.graph);
  const dy = forward.input('dy', part.y.type);
  const { graph, gradients } = backpropagate(
    forward.build({}),
    [{ of: part.y, seed: dy }],
    sites.map(({ y }) => y),
  );
  const builder = new GraphBuilder(graph);
  const outputs: Record<string, Value> = {};
  sites.forEach((site, index) => {
    const g = graph.values[gradients.get(site.y.id) ?? -1];
    builder.scope(`site.${String(index)}`, () => {
      Object.assign(outputs, siteOutputs(builder, site, index, g, options[index], most));
    });
  });
  return builder.build(outputs);
}

function siteOutputs(
  builder: GraphBuilder,
  site: Site,
  index: number,
  g: Value,
  options: number,
  most: number,
): Readonly<Record<string, Value>> {
  const { shape } = site.x.type;
  const bases = shape.map((_, mode) => basisState(builder, site, index, mode, most));
  const rotate = (x: Value, mode: number, name: string) =>
    builder.emit(modeProduct, { x, u: bases[mode] }, { mode, transposed: false }, name).y;
  const whole = builder.emit(matmul, { a: g, b: site.x }, OF_ROWS, 'whole').y;
  const columns = rotate(site.x, shape.length - 1, 'columns');
  const d = builder.emit(matmul, { a: g, b: columns }, OF_ROWS, 'd').y;
  const all = [...shape.keys()].slice(0, -1);
  const x = all.reduce((v, mode) => rotate(v, mode, 'x'), columns);
  const rotated = all.reduce((v, mode) => rotate(v, mode, 'g'), g);
  const outputs: Record<string, Value> = {
    [`total.${String(index)}`]: builder.emit(sumSquares, { x: whole }, {}, 'total').y,
    [`full.${String(index)}`]: columnSquares(builder, d),
  };
  for (let option = 0; option < options; option++) {
    const name = `${String(index)}.${String(option)}`;
    const mask = builder.input(`mask.${name}`, f32(...x.type.shape.slice(0, -1)));
    const kept = builder.emit(multiply, { a: x, b: mask }, {}, 'kept').y;
    const error = builder.emit(matmul, { a: rotated, b: kept, residual: d }, OF_ROWS, 'error').y;
    outputs[`error.${name}`] = columnSquares(builder, error);
  }
  return outputs;
}

/** Leading eigenvectors of a mode's Gram matrix [R, D] and their eigenvalues. */
function directions(builder: GraphBuilder, x: Value, axis: number, most: number) {
  const extent = x.type.shape[axis];
  const rank = Math.min(extent, most);
  if (rank === extent) return eigen(builder, x, axis);
  // Eigenvectors within the subspace (Rayleigh–Ritz), turned back to the axis.
  const u = started(builder, x, { axis, extent, rank });
  const params = { mode: axis, transposed: false };
  const inside = builder.emit(modeProduct, { x, u }, params, 'inside').y;
  const { values, basis } = eigen(builder, inside, axis);
  return { values, basis: builder.emit(matmul, { a: basis, b: u }, PRODUCT, 'basis').y };
}

function eigen(builder: GraphBuilder, x: Value, mode: number) {
  const a = builder.emit(modeContract, { x, z: x }, { mode }, 'gram').y;
  const { values, vectors } = builder.emit(symmetricEigen, { a }, {}, 'eigen');
  if (!vectors) throw new Error('symmetric_eigen without vectors');
  return { values, basis: vectors };
}

function basisState(
  builder: GraphBuilder,
  site: Site,
  index: number,
  mode: number,
  most: number,
): Value {
  const extent = site.x.type.shape[mode];
  const name = `basis.${String(index)}.${String(mode)}`;
  return builder.state(name, f32(Math.min(extent, most), extent));
}

/** Σ_r v[r, c]² */
function columnSquares(builder: GraphBuilder, v: Value): Value {
  const squares = builder.emit(multiply, { a: v, b: v }, {}, 'squares').y;
  return builder.emit(sumRows, { x: squares }, { axes: 1 }, 'columns').y;
}
