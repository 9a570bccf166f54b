/**
 * Squeeze-excitation: every channel of an image is scaled by a gate that all of the image decides.
 *
 * Reference: Hu et al., Squeeze-and-excitation networks, CVPR 2018 (arXiv:1709.01507), eq. 2 to 4.
 */
import type { Value } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import type { GraphBuilder } from '../ops/builder.js';
import { matmul, TRANSPOSED_B } from '../ops/matmul.js';
import { meanTokens } from '../ops/mean-tokens.js';
import { reshaped } from '../ops/reshape.js';
import { scaleChannels } from '../ops/scale-channels.js';
import { activation, type ActivationKind } from './activations.js';

export interface SqueezeExciteOptions {
  /** Channels between the two convolutions. */
  readonly reduced: number;
  /** Behind the first convolution. */
  readonly activation: ActivationKind;
  /** Behind the second: from 0 to 1. */
  readonly gate: ActivationKind;
  /** Names of the two convolutions: timm's conv_reduce and conv_expand, torchvision's fc1 and fc2. */
  readonly convolutions: readonly [reduce: string, expand: string];
}

/** Mean over the pixels of each image; x [B, H, W, C], result [B, C]. */
export function globalMean(builder: GraphBuilder, name: string, x: Value): Value {
  const [batch, height, width, channels] = x.type.shape;
  const pixels = reshaped(builder, x, [batch, height * width, channels]);
  return builder.emit(meanTokens, { x: pixels }, {}, name).y;
}

/** y = x · gate(W₂ activation(W₁ mean(x) + b₁) + b₂) channel by channel; x [B, H, W, C]. */
export function squeezeExcite(
  builder: GraphBuilder,
  name: string,
  x: Value,
  options: SqueezeExciteOptions,
): Value {
  const { reduced, convolutions } = options;
  const [reduce, expand] = convolutions;
  return builder.scope(name, () => {
    const mean = globalMean(builder, 'mean', x);
    const narrow = ofOnePixel(builder, reduce, mean, reduced);
    const active = activation(builder, 'act', narrow, options.activation);
    const wide = ofOnePixel(builder, expand, active, x.type.shape[3]);
    const s = activation(builder, 'gate', wide, options.gate);
    return builder.emit(scaleChannels, { x, s }, {}, 'scale').y;
  });
}

/**
 * A 1 × 1 convolution with bias of images that have one pixel, [B, I] → [B, O]: a product with its weight
 * [O, I, 1, 1] as it is in checkpoints.
 */
function ofOnePixel(builder: GraphBuilder, name: string, x: Value, outputs: number): Value {
  const [, inputs] = x.type.shape;
  const operands = builder.scope(name, () => ({
    b: builder.parameter('weight', f32(outputs, inputs, 1, 1), {
      initial: { kind: 'normal', std: Math.sqrt(2 / outputs) },
    }),
    bias: builder.parameter('bias', f32(outputs), { initial: { kind: 'zeros' }, decay: false }),
  }));
  return builder.emit(matmul, { a: x, ...operands }, TRANSPOSED_B, name).y;
}
