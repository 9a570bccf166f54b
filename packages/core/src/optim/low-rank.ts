/**
 * The update of a weight in low-rank form: the pair L [O, K], R [K, I] of W = L R with LᵀL = I, moved along
 * D = dL/dW without ever forming an O×I array.
 *
 * Legend: η learning rate times the clipping factor, λ weight decay, dR = LᵀD, dL = D Rᵀ (what autodiff
 * gives the two sides), C upper triangular.
 *
 *   R' = (1 − ηλ)R − η dR              the part of the step inside the span of L
 *   Y  = L − η T                       T [O, K] ⟂ L turns the span
 *   C  = chol(YᵀY),  L⁺ = Y C⁻¹        LᵀY = I, so C is near I, no column flips, L moves by O(η)
 *
 * *Product*: D = pᵀq is known, p [r, O], q [r, I]. T = (I − LLᵀ) D R'ᵀ (R'R'ᵀ)⁻¹ and R⁺ = L⁺ᵀW⁺: one warm
 * subspace iteration on W⁺ = (1 − ηλ)LR − ηD, exactly: L⁺ spans W⁺W⁺ᵀL. With p⟂ = p − (pL)Lᵀ,
 * R⁺ = C⁻ᵀ(R' − η (p⟂Y)ᵀ q).
 *
 * *Tangent*: only dR and dL are known (micro-batches, activations that are kept as they are). Then D is
 * taken for its projection on the tangent space, L dR + Z Q with Z = (I − LLᵀ) dL V [O, K] and Q = VᵀR,
 * where V = chol(RRᵀ)⁻¹ makes the rows of Q orthonormal. T = Z (QR'ᵀ)(R'R'ᵀ)⁻¹, R⁺ = C R', so that
 * L⁺R⁺ = L R' − η Z Q on the rows of R': exact for K = I, and for K = O, where Z = 0. Where nothing
 * else needs Z, T = (dL − L S) M with M = V (QR'ᵀ)(R'R'ᵀ)⁻¹ and S = Lᵀ dL = dR Rᵀ, both K×K: four
 * of six O×K×K products are left. (If dL and dR come from differently rounded activations, S is theirs
 * on average: LᵀT is their difference then, and L⁺R⁺ = Y R' holds as before.)
 *
 * *Momentum* is kept on dR + λR and on dL V, the tangent vector in orthonormal coordinates, whose norm is
 * that of the gradient; both bases move by O(η) in a step, so the velocities need no transport to first
 * order. A product is turned into its tangent first.
 *
 * *Adam* (adamw) keeps its two moments of every element of the same coordinates, dR and Z, and takes its
 * direction from them: a_R = m̂_R/(√v̂_R + ε), a_Z = m̂_Z/(√v̂_Z + ε). An element-wise quotient leaves the tangent
 * space, so a_Z is projected again; then the step is that of a tangent with dR = a_R, Z = (I − LLᵀ) a_Z and
 * decoupled decay, R' = (1 − ηλ)R − η a_R. What is adapted to is these coordinates, as it is the axes of W in
 * dense AdamW: at K = O it is AdamW on LᵀW, with L = I on W. Moments are carried over as they are: no column
 * flips, LᵀL⁺ = C⁻¹ = I + O(η²) and the rows of Q turn by O(η), as for momentum. The quotient is by element and
 * not by side (one number for each factor of a product of manifolds), which is what convergence is proved for.
 *
 * *Norm*: ‖D‖² = ‖p‖² for a product, whose q has orthonormal rows; ‖dR‖² + ‖Z‖² ≤ ‖D‖² for a tangent.
 *
 * Memory: one O×K or K×I array besides the gradient, K×K and r×O ones, no state without momentum; with
 * momentum K(O + I) elements, with adamw twice as many. Orthonormality is that of one Cholesky-QR pass, about
 * 2⁻²⁴ (1 + ‖ηT‖²): below 1e-5 unless a step turns the span by more than 85°, and then repaired by the
 * next one, since YᵀY is measured.
 *
 * References: WASI, arXiv 2510.09160; Koch & Lubich, Dynamical low-rank approximation, SIAM J. Matrix
 * Anal. Appl. 29, 2007, eq. 2.7 (the tangent space); Bécigneul & Ganea, Riemannian adaptive optimization
 * methods, ICLR 2019 (moments in the tangent space, and what can be proved of them).
 */
import { InternalError } from '../errors.js';
import type { Parameter, Value } from '../ir/graph.js';
import { adamStep, type AdamStepParams } from '../ops/adam-step.js';
import { assign } from '../ops/assign.js';
import type { GraphBuilder } from '../ops/builder.js';
import { cholesky } from '../ops/cholesky.js';
import { gram as gramOp } from '../ops/gram.js';
import { matmul, PLAIN, TRANSPOSED_A, TRANSPOSED_B } from '../ops/matmul.js';
import { scale as scaleOp } from '../ops/scale.js';
import { sgd as sgdOp } from '../ops/sgd.js';
import { triangularProduct } from '../ops/triangular-product.js';
import { directionOf, type Momentum } from './momentum.js';
import { momentsOf } from './states.js';

/** A weight in low-rank form. */
export interface LowRankPair {
  /** Its name in the dense model. */
  readonly weight: string;
  /** L [O, K]. */
  readonly left: Parameter;
  /** R [K, I]. */
  readonly right: Parameter;
}

/** What is known of D. */
export type PairGradient = Product | Sides | Tangent;

/** D = pᵀ q; p [r, O], q [r, I] with orthonormal rows. */
export interface Product {
  readonly kind: 'product';
  readonly p: Value;
  readonly q: Value;
}

/** dL [O, K] and dR [K, I], as autodiff gives them. */
export interface Sides {
  readonly kind: 'sides';
  readonly left: Value;
  readonly right: Value;
}

/** D on the tangent space, L dR + Z Q. */
export interface Tangent {
  readonly kind: 'tangent';
  /** dR [K, I]. */
  readonly right: Value;
  /** dL V [O, K]: Z, before or after its part along L is taken off. */
  readonly left: Value;
  readonly projected: boolean;
  /** RRᵀ [K, K]. */
  readonly gram: Value;
  /** V = chol(RRᵀ)⁻¹ [K, K]. */
  readonly inverse: Value;
}

/** How a pair descends. */
export interface PairRule {
  readonly lr: Value;
  /** Factor of clipping; null: 1. */
  readonly scale: Value | null;
  /** null: none. */
  readonly momentum: Momentum | null;
  readonly weightDecay: number;
  /** Adam's moments in place of momentum. */
  readonly adam?: AdamMoments;
}

export interface AdamMoments {
  readonly params: AdamStepParams;
  /** Bias corrections [2]. */
  readonly correction: Value;
}

/** Appends the update of `pair`. */
export function updatePair(
  builder: GraphBuilder,
  pair: LowRankPair,
  gradient: PairGradient,
  rule: PairRule,
): void {
  builder.scope(`update.${pair.weight}`, () => {
    if (gradient.kind === 'product' && !hasMoments(rule)) {
      updateExactly(builder, pair, gradient, rule);
    } else if (gradient.kind === 'sides' && !hasMoments(rule)) {
      updateFromSides(builder, pair, gradient, rule);
    } else {
      updateAlongTangent(builder, pair, tangentOf(builder, pair, gradient), rule);
    }
  });
}

/** The values whose squares add up to ‖D‖², and the gradient in the form that has them. */
export function measured(
  builder: GraphBuilder,
  pair: LowRankPair,
  gradient: PairGradient,
): { readonly gradient: PairGradient; readonly parts: readonly Value[] } {
  if (gradient.kind === 'product') return { gradient, parts: [gradient.p] };
  return builder.scope(`clip.${pair.weight}`, () => {
    const tangent = tangentOf(builder, pair, gradient);
    const left = withoutSpan(builder, pair.left, tangent.left);
    return { gradient: { ...tangent, left, projected: true }, parts: [tangent.right, left] };
  });
}

/** dL and dR of a product, which can be summed over micro-batches. */
export function sidesOf(builder: GraphBuilder, pair: LowRankPair, product: ProductValues): Sides {
  const { p, q } = product;
  const onLeft = times(builder, p, pair.left); // [r, K]
  const onRight = times(builder, q, pair.right, 'bT'); // [r, K]
  return {
    kind: 'sides',
    left: times(builder, p, onRight, 'aT'),
    right: times(builder, onLeft, q, 'aT'),
  };
}

type ProductValues = Pick<Product, 'p' | 'q'>;

function updateExactly(
  builder: GraphBuilder,
  { left, right }: LowRankPair,
  { p, q }: Product,
  rule: PairRule,
): void {
  const onLeft = times(builder, p, left); // [r, K]
  const inside = descend(builder, right, times(builder, onLeft, q, 'aT'), rule, rule.weightDecay);
  const v = inverseFactor(builder, ofRows(builder, inside));
  const onRight = times(builder, q, inside, 'bT'); // [r, K]
  const dual = times(builder, times(builder, onRight, v), v, 'bT'); // [r, K]: q R'ᵀ (R'R'ᵀ)⁻¹
  const outside = minus(builder, p, onLeft, left, 'bT'); // [r, O]: p⟂
  const y = descend(builder, left, times(builder, outside, dual, 'aT'), rule, 0);
  const across = times(builder, times(builder, outside, y), q, 'aT'); // [K, I]
  const moved = descend(builder, inside, across, rule, 0);
  const { inverse } = factored(builder, ofColumns(builder, y));
  rewrite(builder, 'right', moved, (from) => times(builder, inverse, from, 'aT'));
  rewrite(builder, 'left', y, (from) => timesUpper(builder, from, inverse));
}

/** The tangent update from the sides as they are, without Z. */
function updateFromSides(
  builder: GraphBuilder,
  { left, right }: LowRankPair,
  sides: Sides,
  rule: PairRule,
): void {
  const decay = rule.weightDecay;
  const gram = ofRows(builder, right);
  const v = inverseFactor(builder, gram);
  const across = times(builder, right, sides.right, 'bT'); // R dRᵀ = Sᵀ
  const mixed = descend(builder, gram, across, rule, decay); // R R'ᵀ
  const inside = descend(builder, right, sides.right, rule, decay);
  const w = inverseFactor(builder, ofRows(builder, inside));
  const overlap = times(builder, v, times(builder, v, mixed, 'aT')); // (RRᵀ)⁻¹ R R'ᵀ
  const change = times(builder, times(builder, overlap, w), w, 'bT'); // M
  // The difference first: M may be large where R has small singular values.
  const outside = minus(builder, sides.left, left, across, 'bT');
  settle(builder, descend(builder, left, times(builder, outside, change), rule, 0), inside);
}

function updateAlongTangent(
  builder: GraphBuilder,
  pair: LowRankPair,
  tangent: Tangent,
  rule: PairRule,
): void {
  const { left, right } = pair;
  const { gram, inverse: v } = tangent;
  const { step: onRight, rule: rightRule } = direction(builder, right, tangent.right, rule);
  // Momentum is linear, so that one projection behind it is enough.
  const isProjected = tangent.projected || !rule.adam;
  const outside = isProjected ? tangent.left : withoutSpan(builder, left, tangent.left);
  const { step: onLeft, rule: leftRule } = direction(builder, left, outside, {
    ...rule,
    weightDecay: 0,
  });
  const decay = rightRule.weightDecay;
  // The Gram matrix follows the descent of one factor: R R'ᵀ = (1 − ηλ)RRᵀ − η R dRᵀ.
  const mixed = descend(builder, gram, times(builder, right, onRight, 'bT'), rightRule, decay);
  const inside = descend(builder, right, onRight, rightRule, decay);
  const w = inverseFactor(builder, ofRows(builder, inside));
  const overlap = times(builder, v, mixed, 'aT'); // Q R'ᵀ
  const change = times(builder, times(builder, overlap, w), w, 'bT');
  const settled = tangent.projected && !hasMoments(rule);
  const z = settled ? onLeft : withoutSpan(builder, left, onLeft);
  settle(builder, descend(builder, left, times(builder, z, change), leftRule, 0), inside);
}

/** L⁺ = Y C⁻¹ and R⁺ = C R'. */
function settle(builder: GraphBuilder, y: Value, inside: Value): void {
  const { c, inverse } = factored(builder, ofColumns(builder, y));
  rewrite(builder, 'right', inside, (from) => times(builder, c, from));
  rewrite(builder, 'left', y, (from) => timesUpper(builder, from, inverse));
}

/** The tangent in orthonormal coordinates. */
function tangentOf(builder: GraphBuilder, pair: LowRankPair, gradient: PairGradient): Tangent {
  if (gradient.kind === 'tangent') return gradient;
  const { left, right } = gradient.kind === 'sides' ? gradient : sidesOf(builder, pair, gradient);
  const gram = ofRows(builder, pair.right);
  const inverse = inverseFactor(builder, gram);
  const coordinates = timesUpper(builder, left, inverse);
  return { kind: 'tangent', right, left: coordinates, projected: false, gram, inverse };
}

function hasMoments({ momentum, adam }: PairRule): boolean {
  return momentum !== null || adam !== undefined;
}

/** The gradient, its velocity or Adam's quotient, and the rule of the step that is left to take. */
function direction(builder: GraphBuilder, param: Value, grad: Value, rule: PairRule) {
  const { momentum, weightDecay, scale, adam } = rule;
  if (adam) {
    const [m, v] = momentsOf(builder, param);
    const inputs = { grad, m, v, correction: adam.correction, ...(scale ? { scale } : {}) };
    return {
      step: builder.emit(adamStep, inputs, adam.params).step,
      rule: { ...rule, scale: null },
    };
  }
  if (!momentum) return { step: grad, rule };
  const step = directionOf(builder, param, grad, momentum, { scale, weightDecay });
  return { step, rule: { ...rule, scale: null, weightDecay: 0 } };
}

/** (1 − ηλ) from − η along, in the memory of `from`: plain `sgd` on any matrix. */
function descend(
  builder: GraphBuilder,
  from: Value,
  along: Value,
  { lr, scale }: PairRule,
  weightDecay: number,
): Value {
  return builder.emit(
    sgdOp,
    { param: from, grad: along, lr, ...(scale ? { scale } : {}) },
    { momentum: 0, nesterov: false, weightDecay },
  ).paramOut;
}

/** The side becomes `f(from)`, `from` being what it holds by now. */
function rewrite(
  builder: GraphBuilder,
  side: 'left' | 'right',
  from: Value,
  f: (from: Value) => Value,
): void {
  builder.emit(assign, { target: from, value: f(from) }, {}, side);
}

/** z − L(Lᵀz). */
function withoutSpan(builder: GraphBuilder, left: Value, z: Value): Value {
  return minus(builder, z, left, times(builder, left, z, 'aT'));
}

/** from − a b. The factor with fewer elements changes its sign. */
function minus(builder: GraphBuilder, from: Value, a: Value, b: Value, form?: Form): Value {
  const [rows] = a.type.shape;
  const [other] = b.type.shape;
  const flip = (x: Value) => builder.emit(scaleOp, { x }, { factor: -1 }).y;
  const operands = rows <= other ? { a: flip(a), b } : { a, b: flip(b) };
  return builder.emit(matmul, { ...operands, residual: from }, FORMS[form ?? 'plain']).y;
}

const NO_RIDGE = { ridge: 0 } as const;

/** chol(a)⁻¹, upper. */
function inverseFactor(builder: GraphBuilder, a: Value): Value {
  return factored(builder, a).inverse;
}

function factored(builder: GraphBuilder, a: Value): { readonly c: Value; readonly inverse: Value } {
  const { c, inverse } = builder.emit(cholesky, { a }, NO_RIDGE);
  if (!c || !inverse) throw InternalError.of('cholesky', 'both results', 'one');
  return { c, inverse };
}

/** a aᵀ. */
function ofRows(builder: GraphBuilder, x: Value): Value {
  return builder.emit(gramOp, { x }, { columns: false }).y;
}

/** aᵀa. */
function ofColumns(builder: GraphBuilder, x: Value): Value {
  return builder.emit(gramOp, { x }, { columns: true }).y;
}

/** x u of an upper triangular u. */
function timesUpper(builder: GraphBuilder, x: Value, u: Value): Value {
  return builder.emit(triangularProduct, { x, u }, {}).y;
}

const FORMS = { plain: PLAIN, aT: TRANSPOSED_A, bT: TRANSPOSED_B } as const;
type Form = keyof typeof FORMS;

/** a b, aᵀb or a bᵀ. */
function times(builder: GraphBuilder, a: Value, b: Value, form: Form = 'plain'): Value {
  return builder.emit(matmul, { a, b }, FORMS[form]).y;
}
