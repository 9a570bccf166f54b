/**
 * A weight that is trained through the factors of its change, whose gradient is never formed.
 *
 * A linear y = x Wᵀ, W [O, I], is seen as W + uᵀv − u₀ᵀv₀ with u [r, O] and v [r, I], at u = u₀ and
 * v = v₀: the forward pass is that of W, exactly. With dy = dL/dy, G = dyᵀx = dL/dW and rows for all
 * axes but the last,
 *
 *   dL/du = v Gᵀ = (v xᵀ) dy      dL/dv = u G = (u dyᵀ) x       2 r (O + I) multiply-adds for each
 *                                                              row, in place of O I
 *
 * The optimiser updates u and v, and keeps its states for them only. W follows by the change of their
 * product, W ← (1 − ηλ) W + u⁺ᵀv⁺ − uᵀv, in place, and u⁺, v⁺ are the next step's u₀, v₀. For plain sgd
 * the change is −η (uᵀu G + G vᵀv) + η² (dL/du)ᵀ dL/dv: a step along G, seen through r directions of
 * either side. Other directions come with other factors, so both are drawn anew now and then.
 *
 * Drawn: uniform with mean 0 and variance 1/2r. Then uᵀu and vᵀv are half of the identity on average,
 * and so is the step of sgd that of full training: −ηG. An update of the factors by ±η, as adamw's
 * first is, moves an element of W by about η too, its own first. Normal numbers N(0, 1/n), as in a
 * reading of the publication, are replaced on purpose: these have the same bits on every machine, only
 * mean and variance matter to the averages, and 1/n would make a step of sgd r/O + r/I as long.
 */
import type { Graph, Value } from '../ir/graph.js';
import { elements, f32, i32 } from '../ir/types.js';
import { GraphBuilder } from '../ops/builder.js';
import { matmul } from '../ops/matmul.js';
import { productChange } from '../ops/product-change.js';
import { randomUniform } from '../ops/random-uniform.js';
import { reshaped } from '../ops/reshape.js';
import { scale as scaleOp } from '../ops/scale.js';
import type { Optimizer } from '../optim/optimizer.js';
import type { UpdateRule } from '../optim/rule.js';

/** Whether the optimiser's states of the factors start anew when these are drawn. */
export type Moments = 'reset' | 'keep';

/** The states u [r, O] and v [r, I] of one weight, or something of their shapes. */
export interface Factors {
  readonly u: Value;
  readonly v: Value;
}

/** A weight W [O, I] with its rank r. */
export interface FactoredGradient {
  readonly weight: string;
  readonly outputs: number;
  readonly inputs: number;
  readonly rank: number;
}

/** `<weight>.factors.u` and `<weight>.factors.v`. */
export function factorsOf(builder: GraphBuilder, of: FactoredGradient): Factors {
  const { weight, outputs, inputs, rank } = of;
  return {
    u: builder.knownState(`${groupOf(weight)}.u`, f32(rank, outputs)),
    v: builder.knownState(`${groupOf(weight)}.v`, f32(rank, inputs)),
  };
}

/** What the factors are reset under. */
function groupOf(weight: string): string {
  return `${weight}.factors`;
}

/**
 * dL/du and dL/dv.
 *
 * @param x what the linear reads, [..., I]
 * @param dy dL/d(what it gives), [..., O]
 */
export function factorGradients(
  builder: GraphBuilder,
  { u, v }: Factors,
  x: Value,
  dy: Value,
): Factors {
  const [rows, slopes] = [asRows(builder, x), asRows(builder, dy)];
  const z = builder.emit(matmul, { a: v, b: rows }, TIMES_TRANSPOSED, 'z').y;
  const g = builder.emit(matmul, { a: u, b: slopes }, TIMES_TRANSPOSED, 'g').y;
  return {
    u: builder.emit(matmul, { a: z, b: slopes }, PLAIN, 'du').y,
    v: builder.emit(matmul, { a: g, b: rows }, PLAIN, 'dv').y,
  };
}

const PLAIN = { transA: false, transB: false, gelu: false, batched: false } as const;
const TIMES_TRANSPOSED = { ...PLAIN, transB: true } as const;

/** All axes but the last as one. */
function asRows(builder: GraphBuilder, x: Value): Value {
  const { shape } = x.type;
  const columns = shape[shape.length - 1];
  return reshaped(builder, x, [elements(shape) / columns, columns]);
}

/** The update of a weight whose gradient is known by the parts `u` and `v`. */
export function factorRule(rank: number, moments: Moments): UpdateRule {
  return {
    update: (builder, { parameter, parts, optimizer, inputs, scale }) => {
      const [outputs, ins] = parameter.type.shape;
      const weight = parameter.name;
      const { u, v } = factorsOf(builder, { weight, outputs, inputs: ins, rank });
      const group = groupOf(weight);
      const own = moments === 'reset' ? optimizer.inputsSinceReset(builder, group, inputs) : inputs;
      const before = { u: copied(builder, u), v: copied(builder, v) };
      const uNext = optimizer.update(builder, u, parts.u, own, scale);
      const vNext = optimizer.update(builder, v, parts.v, own, scale);
      const weightDecay = optimizer.decay(parameter);
      const operands = { param: parameter, ...before, uNext, vNext, lr: inputs.lr };
      builder.emit(productChange, operands, { weightDecay });
    },
  };
}

/** The optimiser writes over the factors, whose old values the change of the product needs. */
function copied(builder: GraphBuilder, x: Value): Value {
  return builder.emit(scaleOp, { x }, { factor: 1 }, 'before').y;
}

/** The graph that draws the factors of `all` by its inputs `seed` and `count`. */
export function drawnFactors(
  all: readonly FactoredGradient[],
  optimizer: Optimizer,
  moments: Moments,
): Graph {
  const builder = new GraphBuilder();
  const by = { seed: builder.input('seed', i32()), count: builder.input('count', i32()) };
  all.forEach((of, index) => {
    const { u, v } = factorsOf(builder, of);
    builder.scope(`draw.${of.weight}`, () => {
      // Of variance bound²/3.
      const bound = Math.sqrt(3 / (2 * of.rank));
      builder.emit(randomUniform, { x: u, ...by }, { bound, salt: 2 * index });
      builder.emit(randomUniform, { x: v, ...by }, { bound, salt: 2 * index + 1 });
      if (moments === 'reset') optimizer.reset(builder, groupOf(of.weight), [u, v]);
    });
  });
  return builder.build({});
}
