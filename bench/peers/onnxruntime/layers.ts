/**
 * Layers of a vision transformer in ONNX, each with its backward pass.
 *
 * Legend: B images, N tokens, M = B·N, D width, H heads, d = D/H, F hidden units. Tokens are the
 * matrix [M, D] throughout.
 *
 * Every gradient carries the factor −lr: it enters once, with that of the logits, and gradients are
 * linear in it. So an update is a sum, and that of a weight is the third operand of the product
 * that computes its gradient: W ← dYᵀ X + W.
 *
 * Known limit: plain SGD; momentum and weight decay would need products of their own.
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
  /** Says which value is the parameter after the step. */
  update(name: string, value: string): void;
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
      build.update(weight, emit.gemm(dy, x, { transA: true, c: w, alpha }));
      const sum = emit.sum(dy, 0);
      build.update(bias, emit.add(b, beta === 1 ? sum : emit.mul(sum, emit.scalar(beta))));
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
      build.update(`${name}.weight`, emit.add(gamma, emit.sum(emit.mul(dy, normal), 0)));
      build.update(`${name}.bias`, emit.add(beta, emit.sum(dy, 0)));
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
      const bell = emit.op('Exp', [emit.op('Neg', [emit.mul(s, s)])]);
      const slope = emit.mul(emit.mul(s, bell), emit.scalar(2 / Math.sqrt(Math.PI)));
      const ds = emit.mul(dh, emit.add(slope, oneMore));
      fc1.update(ds);
      return fc1.dx(ds);
    },
  };
}

/**
 * Multi-head attention with its projections. Queries, keys and values are three products, whose
 * parameters are the rows of `qkv` in thirds: that saves the copies that cut one product apart.
 */
export function attention(build: Build, name: string, x: string): Layer {
  const { emit, batch, tokens, width, heads } = build;
  const rows = batch * tokens;
  const headDim = width / heads;
  const alpha = 1 / Math.sqrt(headDim);
  const square = [width, width] as const;
  const [toQ, toK, toV] = ['q', 'k', 'v'].map((part) =>
    linear(build, `${name}.qkv.${part}`, x, square),
  );
  emit.scope = name;
  const perHead = (matrix: string) =>
    emit.transpose(emit.reshape(matrix, batch, tokens, heads, headDim), 0, 2, 1, 3);
  const together = (split: string) =>
    emit.reshape(emit.transpose(split, 0, 2, 1, 3), rows, width);
  const [q, k, v] = [toQ, toK, toV].map(({ y }) => perHead(y)); // [B, H, N, d]
  const scores = emit.batched(q, k, { transB: true, alpha });
  const weights = emit.op('Softmax', [scores], { axis: int(-1) }); // [B, H, N, N]
  const mixed = emit.batched(weights, v);
  const proj = linear(build, `${name}.proj`, together(mixed), square);
  return {
    y: proj.y,
    backward: (dy) => {
      proj.update(dy);
      const dContext = proj.dx(dy);
      emit.scope = `${name}/grad`;
      const dMixed = perHead(dContext);
      // Σ_j dW_ij W_ij of the softmax's gradient is Σ_d dMixed mixed, which is N/d times smaller.
      const dot = emit.sum(emit.mul(dMixed, mixed), -1, 'keep');
      const dWeights = emit.batched(dMixed, v, { transB: true });
      const dScores = emit.mul(weights, emit.sub(dWeights, dot));
      const dParts = [
        [toQ, together(emit.batched(dScores, k, { alpha }))],
        [toK, together(emit.batched(dScores, q, { transA: true, alpha }))],
        [toV, together(emit.batched(weights, dMixed, { transA: true }))],
      ] as const;
      let dx: string | undefined;
      for (const [part, gradient] of dParts) {
        part.update(gradient);
        dx = part.dx(gradient, dx);
      }
      return dx ?? '';
    },
  };
}
