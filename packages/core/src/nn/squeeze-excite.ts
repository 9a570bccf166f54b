/**
 * Squeeze-excitation: every channel of an image is scaled by a gate that all of the image decides.
 *
 * Reference: Hu et al., Squeeze-and-excitation networks, CVPR 2018 (arXiv:1709.01507), eq. 2 to 4.
 */
import type { Value } from '../ir/graph.js';
import type { GraphBuilder } from '../ops/builder.js';
import { meanTokens } from '../ops/mean-tokens.js';
import { reshaped } from '../ops/reshape.js';
import { scaleChannels } from '../ops/scale-channels.js';
import { activation, type ActivationKind } from './activations.js';
import { pointwise } from './convolution.js';

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
    const narrow = pointwise(builder, reduce, mean, reduced, { bias: true });
    const active = activation(builder, 'act', narrow, options.activation);
    const wide = pointwise(builder, expand, active, x.type.shape[3], { bias: true });
    const s = activation(builder, 'gate', wide, options.gate);
    return builder.emit(scaleChannels, { x, s }, {}, 'scale').y;
  });
}
