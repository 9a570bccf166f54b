/**
 * Convolutions as layers, on images [B, H, W, C]. Weights are [O, I / groups, k, k] as in checkpoints, so that files,
 * updates and methods know one order; `hwio` brings kernels into the order of the products, which is recomputed
 * wherever it is read and not kept.
 */
import type { Value } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import type { GraphBuilder } from '../ops/builder.js';
import { conv2d } from '../ops/conv2d.js';
import { hwio } from '../ops/hwio.js';
import { matmul, TRANSPOSED_B } from '../ops/matmul.js';

/**
 * Zeros around an image:
 *
 *   symmetric   ⌊(k − 1)/2⌋ on each side, as of PyTorch's published models
 *   same        for ⌈S/stride⌉ pixels along a side; of an odd number of zeros the last is below and to the right, as
 *               of TensorFlow's 'SAME'
 */
export type Padding = 'symmetric' | 'same';

export interface ConvolutionOptions {
  readonly outputs: number;
  /** Taps along each side. */
  readonly kernel: number;
  /** Default: 1. */
  readonly stride?: number;
  /** Default: 1; the number of channels: each by itself (depthwise). */
  readonly groups?: number;
  readonly padding: Padding;
  readonly bias: boolean;
}

/**
 * y [B, Ho, Wo, O] = the convolution of x [B, H, W, I]. A kernel of one pixel without stride or groups is a product of
 * pixels with the weight as it is.
 *
 * Weights start normal with variance 2 / (k² O / groups); the bias starts at zero.
 *
 * Reference: He et al., Delving deep into rectifiers, ICCV 2015 (arXiv:1502.01852), section 2.2, backward.
 */
export function convolution(
  builder: GraphBuilder,
  name: string,
  x: Value,
  options: ConvolutionOptions,
): Value {
  const { outputs, kernel, stride = 1, groups = 1, padding, bias: hasBias } = options;
  if (kernel === 1 && stride === 1 && groups === 1) {
    return pointwise(builder, name, x, outputs, { bias: hasBias });
  }
  const [, height, width, inputs] = x.type.shape;
  const { weight, bias } = builder.scope(name, () => ({
    weight: builder.parameter('weight', f32(outputs, inputs / groups, kernel, kernel), {
      initial: { kind: 'normal', std: Math.sqrt((2 * groups) / (kernel * kernel * outputs)) },
    }),
    bias: hasBias ? biasOf(builder, outputs) : undefined,
  }));
  const w = builder.emit(hwio, { x: weight }, { inverse: false }, `${name}.hwio`).y;
  const [padTop, padBottom] = sidesOf(padding, height, kernel, stride);
  const [padLeft, padRight] = sidesOf(padding, width, kernel, stride);
  const params = { stride, dilation: 1, groups, padTop, padLeft, padBottom, padRight };
  return builder.emit(conv2d, { x, w, ...(bias && { bias }) }, params, name).y;
}

/** y = x Wᵀ + b pixel by pixel, with W [O, I, 1, 1]; x [..., I], y [..., O]. */
export function pointwise(
  builder: GraphBuilder,
  name: string,
  x: Value,
  outputs: number,
  { bias: hasBias }: { readonly bias: boolean },
): Value {
  const inputs = x.type.shape[x.type.shape.length - 1];
  const operands = builder.scope(name, () => ({
    b: builder.parameter('weight', f32(outputs, inputs, 1, 1), {
      initial: { kind: 'normal', std: Math.sqrt(2 / outputs) },
    }),
    ...(hasBias && { bias: biasOf(builder, outputs) }),
  }));
  return builder.emit(matmul, { a: x, ...operands }, TRANSPOSED_B, name).y;
}

function biasOf(builder: GraphBuilder, outputs: number): Value {
  return builder.parameter('bias', f32(outputs), { initial: { kind: 'zeros' }, decay: false });
}

/** Zeros before and after `side` pixels. */
function sidesOf(
  padding: Padding,
  side: number,
  kernel: number,
  stride: number,
): readonly [before: number, after: number] {
  if (padding === 'symmetric') {
    const half = Math.floor((kernel - 1) / 2);
    return [half, half];
  }
  const all = Math.max((Math.ceil(side / stride) - 1) * stride + kernel - side, 0);
  return [Math.floor(all / 2), Math.ceil(all / 2)];
}
