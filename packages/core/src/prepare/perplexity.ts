/**
 * perplexity: what a linear's weight gradient loses when its input is held in Tucker form, as programs.
 *
 * With input x [D_0, …, D_d] (batch, tokens or height and width, then inputs), output gradient g and weight
 * gradient dW = gᵀ x over all rows, truncating x to ranks r_m gives dW̃, and the perplexity is ‖dW̃ − dW‖_F.
 * Let U_m [D_m, D_m] hold the eigenvectors of mode m's Gram matrix as rows, largest first. Rotating every
 * mode once, x̂ = x ×_m U_m and ĝ = g ×_m U_m over all modes but the last, leaves dW as it is, up to a
 * rotation of its columns, and makes a truncation a mask: rows (a, b) of x̂ with a < r_0, b < r_1, and columns
 * c < r_d. So one rotation serves any number of ranks:
 *
 *   ‖dW̃ − dW‖² = Σ_{c < r_d} ‖ĝᵀ (mask ∘ x̂)_c − D_c‖² + Σ_{c ≥ r_d} ‖D_c‖²,   D = ĝᵀ x̂
 *
 * Where there are fewer rows T = Π D_{m<d} than inputs, the last mode is rotated through the smaller Gram
 * matrix x xᵀ = Vᵀ Λ V [T, T]: then x rotated by its last mode is Vᵀ Λ^½, of which the host puts Vᵀ into the
 * state, and takes Λ into account when it adds up columns.
 *
 * Reference: Nguyen et al., "Beyond low-rank tuning: activation subspace iteration", ICML 2025
 * (arXiv:2505.05086), for the table; there it is computed layer by layer and rank by rank.
 */
import { backpropagate } from '../autodiff.js';
import type { Graph, Value } from '../ir/graph.js';
import { elements, f32 } from '../ir/types.js';
import { assign } from '../ops/assign.js';
import { GraphBuilder } from '../ops/builder.js';
import { matmul } from '../ops/matmul.js';
import { modeContract } from '../ops/mode-contract.js';
import { modeProduct } from '../ops/mode-product.js';
import { multiply } from '../ops/multiply.js';
import { reshaped } from '../ops/reshape.js';
import { sumRows } from '../ops/sum-rows.js';
import { symmetricEigen } from '../ops/symmetric-eigen.js';
import type { Site, SitedPart } from './sites.js';

const PRODUCT = { transA: false, transB: false, gelu: false, batched: false } as const;
const OF_ROWS = { ...PRODUCT, transA: true } as const;
const OF_COLUMNS = { ...PRODUCT, transB: true } as const;

/**
 * Forward pass of a part on `x`: sets the states that hold each site's U_m and gives, as output `i.m`, the
 * eigenvalues of site i's mode m in descending order.
 */
export function modesGraph({ part, sites }: SitedPart): Graph {
  const builder = new GraphBuilder(part.graph);
  const outputs: Record<string, Value> = {};
  sites.forEach((site, index) => {
    site.x.type.shape.forEach((_, mode) => {
      const name = `${String(index)}.${String(mode)}`;
      const { values, vectors } = builder.emit(
        symmetricEigen,
        { a: gramOf(builder, site, mode, `gram.${name}`) },
        {},
        `eigen.${name}`,
      );
      if (!vectors) throw new Error('symmetric_eigen without vectors');
      const target = basisState(builder, site, index, mode);
      builder.emit(assign, { target, value: vectors }, {}, `keep.${name}`);
      outputs[name] = values;
    });
  });
  return builder.build(outputs);
}

/**
 * Forward and backward pass of a part on `x` and `dy`. Inputs `mask.i.j` [D_0, …, D_{d−1}] hold −1 for the
 * rows of x̂ that option j of site i keeps and 0 for the others. Outputs, by column of x̂: `full.i` holds
 * ‖D_c‖² and `error.i.j` holds ‖ĝᵀ(mask ∘ x̂)_c − D_c‖².
 */
export function perplexityGraph({ part, sites }: SitedPart, options: number): Graph {
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
      Object.assign(outputs, siteOutputs(builder, site, index, g, options));
    });
  });
  return builder.build(outputs);
}

/**
 * True where the last mode's eigenvectors are those of x xᵀ: the host has to transpose them between the two
 * programs.
 */
export function throughRows({ x, inputs }: Site): boolean {
  return elements(x.type.shape) / inputs < inputs;
}

function siteOutputs(
  builder: GraphBuilder,
  site: Site,
  index: number,
  g: Value,
  options: number,
): Readonly<Record<string, Value>> {
  const { shape } = site.x.type;
  const leading = shape.slice(0, -1);
  let x = rotatedColumns(builder, site, index);
  let rotated = g;
  leading.forEach((_, mode) => {
    const u = basisState(builder, site, index, mode);
    const params = { mode, transposed: false };
    x = builder.emit(modeProduct, { x, u }, params, 'x').y;
    rotated = builder.emit(modeProduct, { x: rotated, u }, params, 'g').y;
  });
  const d = builder.emit(matmul, { a: rotated, b: x }, OF_ROWS, 'd').y;
  const outputs: Record<string, Value> = { [`full.${String(index)}`]: columnSquares(builder, d) };
  for (let option = 0; option < options; option++) {
    const name = `${String(index)}.${String(option)}`;
    const mask = builder.input(`mask.${name}`, f32(...leading));
    const kept = builder.emit(multiply, { a: x, b: mask }, {}, 'kept').y;
    const error = builder.emit(matmul, { a: rotated, b: kept, residual: d }, OF_ROWS, 'error').y;
    outputs[`error.${name}`] = columnSquares(builder, error);
  }
  return outputs;
}

/** The Gram matrix of a mode: of the rows instead, where the last mode has more inputs than rows. */
function gramOf(builder: GraphBuilder, site: Site, mode: number, name: string): Value {
  const { x } = site;
  if (mode < x.type.shape.length - 1) {
    return builder.emit(modeContract, { x, z: x }, { mode }, name).y;
  }
  if (!throughRows(site)) return builder.emit(matmul, { a: x, b: x }, OF_ROWS, name).y;
  const rows = asRows(builder, x);
  return builder.emit(matmul, { a: rows, b: rows }, OF_COLUMNS, name).y;
}

/** x with its last mode rotated: [D_0, …, D_{d−1}, min(T, I)], but for Λ^½ where it goes through the rows. */
function rotatedColumns(builder: GraphBuilder, site: Site, index: number): Value {
  const { x } = site;
  const { shape } = x.type;
  const u = basisState(builder, site, index, shape.length - 1);
  if (throughRows(site)) return reshaped(builder, u, [...shape.slice(0, -1), u.type.shape[1]]);
  return builder.emit(matmul, { a: x, b: u }, OF_COLUMNS, 'columns').y;
}

function asRows(builder: GraphBuilder, x: Value): Value {
  const { shape } = x.type;
  const width = shape[shape.length - 1];
  return reshaped(builder, x, [elements(shape) / width, width]);
}

/** U_m of a site; V, then Vᵀ, where the last mode goes through the rows. */
function basisState(builder: GraphBuilder, site: Site, index: number, mode: number): Value {
  const { shape } = site.x.type;
  const last = mode === shape.length - 1;
  const extent = last && throughRows(site) ? elements(shape) / site.inputs : shape[mode];
  return builder.state(basisName(index, mode), f32(extent, extent));
}

/** Host name of the state with a mode's eigenvectors. */
export function basisName(index: number, mode: number): string {
  return `basis.${String(index)}.${String(mode)}`;
}

/** Σ_r v[r, c]² */
function columnSquares(builder: GraphBuilder, v: Value): Value {
  const squares = builder.emit(multiply, { a: v, b: v }, {}, 'squares').y;
  return builder.emit(sumRows, { x: squares }, { axes: 1 }, 'columns').y;
}
