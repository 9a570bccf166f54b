/**
 * Layers of a vision transformer in ONNX, each with its backward pass.
 *
 * Legend: B images, N tokens, M = B·N, D width, H heads, d = D/H, F hidden units. Tokens are the
 * matrix [M, D] throughout.
 *
 * Every gradient carries the factor −lr: it enters once, with that of the logits, and gradients are
 * linear in it. So an update is a sum, and that of a weight is the third operand of the product
 * that computes its gradient: W ← dYᵀ X + W, or with momentum m, V ← dYᵀ X + m V and W ← W + V, where V
 * has the factor −lr as well: the rate is the same at each step.
 *
 * Known limit: no weight decay.
 */
import { float, int } from '@thimble/onnx';
import type { Emitter } from './emitter.js';

/** What a layer's forward pass leaves. */
export interface Layer {
  readonly y: string;
  /** The gradient with respect to the input, from that of y. Emits the updates. */
  backward(dy: string): string;
}

/** The graph under construction. */
export interface Build {
  readonly emit: Emitter;
  readonly batch: number;
  readonly tokens: number;
  readonly width: number;
  readonly heads: number;
  readonly eps: number;
  /** The input that holds a parameter; declares it. */
  parameter(name: string, shape: readonly number[]): string;
  /** What the gradient of a parameter is added to, times `beta`: the parameter, or its velocity. */
  base(name: string): { readonly value: string; readonly beta: number };
  /** Says which value the base becomes. */
  update(name: string, value: string): void;
}

/** A gradient that no product adds to its base. */
export function addGradient({ emit, ...build }: Build, name: string, gradient: string): void {
  const { value, beta } = build.base(name);
  build.update(name, emit.add(beta === 1 ? value : emit.mul(value, emit.scalar(beta)), gradient));
}

/** Steps of a linear layer, for those that need only a part of its gradient. */
interface Linear {
  readonly y: string;
  update(dy: string): void;
  dx(dy: string, added?: string): string;
}

/** y = factor · (x Wᵀ + b); x [M, inputs] → [M, outputs] */
export function linear(
  build: Build,
  name: string,
  x: string,
  [outputs, inputs]: readonly [number, number],
  factors: { readonly weight?: number; readonly bias?: number } = {},
): Linear {
  const { emit } = build;
  const { weight: alpha = 1, bias: beta = 1 } = factors;
  const [weight, bias] = [`${name}.weight`, `${name}.bias`];
  const w = build.parameter(weight, [outputs, inputs]);
  const b = build.parameter(bias, [outputs]);
  emit.scope = name;
  return {
    y: emit.gemm(x, w, { transB: true, c: b, alpha, beta }),
    update: (dy) => {
      emit.scope = `${name}/grad`;
      const { value: c, beta: decay } = build.base(weight);
      build.update(weight, emit.gemm(dy, x, { transA: true, c, alpha, beta: decay }));
      const sum = emit.sum(dy, 0);
      addGradient(build, bias, beta === 1 ? sum : emit.mul(sum, emit.scalar(beta)));
    },
    dx: (dy, c) => {
      emit.scope = `${name}/grad`;
      return emit.gemm(dy, w, c === undefined ? { alpha } : { alpha, c });
    },
  };
}

/** Layer norm over the rows of a matrix. */
export function layerNorm(build: Build, name: string, x: string): Layer {
  const { emit, width, eps } = build;
  const gamma = build.parameter(`${name}.weight`, [width]);
  const beta = build.parameter(`${name}.bias`, [width]);
  emit.scope = name;
  const attributes = { axis: int(-1), epsilon: float(eps) };
  const [y, mean, inverse] = emit.ops('LayerNormalization', [x, gamma, beta], attributes, 3);
  return {
    y,
    backward: (dy) => {
      emit.scope = `${name}/grad`;
      const normal = emit.mul(emit.sub(x, mean), inverse);
      addGradient(build, `${name}.weight`, emit.sum(emit.mul(dy, normal), 0));
      addGradient(build, `${name}.bias`, emit.sum(dy, 0));
      const g = emit.mul(dy, gamma);
      const along = emit.mul(normal, emit.rowMean(emit.mul(g, normal)));
      return emit.mul(emit.sub(emit.sub(g, emit.rowMean(g)), along), inverse);
    },
  };
}

/**
 * fc2(gelu(fc1(x))), exact. With s = u/√2 gelu(u) is s (1 + erf s)/√2: the first product gives s at
 * once and the second takes the factor that is left, so that nothing passes over [M, F] for them.
 */
export function mlp(build: Build, name: string, x: string): Layer {
  const { emit, width } = build;
  const hidden = 4 * width;
  const half = Math.SQRT1_2;
  const fc1 = linear(build, `${name}.fc1`, x, [hidden, width], { weight: half, bias: half });
  emit.scope = `${name}.act`;
  const s = fc1.y;
  const oneMore = emit.add(emit.op('Erf', [s]), emit.scalar(1));
  const fc2 = linear(build, `${name}.fc2`, emit.mul(s, oneMore), [width, hidden], { weight: half });
  return {
    y: fc2.y,
    backward: (dy) => {
      fc2.update(dy);
      const dh = fc2.dx(dy);
      emit.scope = `${name}.act/grad`;
      // erf′(s) = 2/√π · e^(−s²), the factor inside the exponent
      const exponent = emit.sub(emit.scalar(Math.log(2 / Math.sqrt(Math.PI))), emit.mul(s, s));
      const slope = emit.mul(s, emit.op('Exp', [exponent]));
      const ds = emit.mul(dh, emit.add(slope, oneMore));
      fc1.update(ds);
      return fc1.dx(ds);
    },
  };
}

/** Multi-head attention with its projections. */
export function attention(build: Build, name: string, x: string): Layer {
  const { emit, batch, tokens, width, heads } = build;
  const rows = batch * tokens;
  const headDim = width / heads;
  const alpha = 1 / Math.sqrt(headDim);
  const qkv = linear(build, `${name}.qkv`, x, [3 * width, width]);
  emit.scope = name;
  const perPart = emit.reshape(qkv.y, batch, tokens, 3, heads, headDim);
  const parts = emit.transpose(perPart, 2, 0, 3, 1, 4); // [3, B, H, N, d]
  const [q, k, v] = emit
    .ops('Split', [parts, emit.ints(1, 1, 1)], { axis: int(0) }, 3)
    .map((part) => emit.reshape(part, batch, heads, tokens, headDim));
  const scores = emit.batched(q, k, { transB: true, alpha });
  const weights = emit.op('Softmax', [scores], { axis: int(-1) }); // [B, H, N, N]
  const mixed = emit.batched(weights, v);
  const context = emit.reshape(emit.transpose(mixed, 0, 2, 1, 3), rows, width);
  const proj = linear(build, `${name}.proj`, context, [width, width]);
  return {
    y: proj.y,
    backward: (dy) => {
      proj.update(dy);
      const dContext = proj.dx(dy);
      emit.scope = `${name}/grad`;
      const split = emit.reshape(dContext, batch, tokens, heads, headDim);
      const dMixed = emit.transpose(split, 0, 2, 1, 3);
      // Σ_j dW_ij W_ij of the softmax's gradient is Σ_d dMixed mixed, which is N/d times smaller.
      const dot = emit.sum(emit.mul(dMixed, mixed), -1, 'keep');
      const dWeights = emit.batched(dMixed, v, { transB: true });
      const dScores = emit.mul(weights, emit.sub(dWeights, dot));
      const dParts = [
        emit.batched(dScores, k, { alpha }),
        emit.batched(dScores, q, { transA: true, alpha }),
        emit.batched(weights, dMixed, { transA: true }),
      ];
      const all = emit.op('Concat', dParts, { axis: int(0) }); // [3B, H, N, d]
      const apart = emit.reshape(all, 3, batch, heads, tokens, headDim);
      const dQkv = emit.reshape(emit.transpose(apart, 1, 3, 0, 2, 4), rows, 3 * width);
      qkv.update(dQkv);
      return qkv.dx(dQkv);
    },
  };
}
