/** A convolution with what follows it in every published network: batch normalisation and an activation. */
import type { Value } from '../ir/graph.js';
import { BATCH_NORM_ACTIVATIONS, type BatchNormActivation } from '../ops/batch-norm-activation.js';
import type { GraphBuilder } from '../ops/builder.js';
import { activation, type Activation } from './activations.js';
import { batchNorm, type BatchNormOptions } from './batch-norm.js';
import { convolution, type ConvolutionOptions } from './convolution.js';

/** How batch norms normalise; null: they were folded into the convolutions, which have a bias in their place. */
export type NormOptions = Omit<BatchNormOptions, 'activation'> | null;

export interface ConvUnitOptions extends Omit<ConvolutionOptions, 'bias'> {
  readonly activation: Activation;
  readonly norm: NormOptions;
}

/** act(norm(conv(x))); x [B, H, W, I]. `names`: those of the convolution and of the norm. */
export function convUnit(
  builder: GraphBuilder,
  names: { readonly conv: string; readonly norm: string },
  x: Value,
  options: ConvUnitOptions,
): Value {
  const { activation: kind, norm } = options;
  const y = convolution(builder, names.conv, x, { ...options, bias: norm === null });
  if (!norm) return activation(builder, `${names.conv}.act`, y, kind);
  // Written with the norm in one pass over memory where the op knows it.
  if (isFused(kind)) return batchNorm(builder, names.norm, y, { ...norm, activation: kind });
  const normed = batchNorm(builder, names.norm, y, { ...norm, activation: 'none' });
  return activation(builder, `${names.norm}.act`, normed, kind);
}

function isFused(kind: Activation): kind is BatchNormActivation {
  return typeof kind === 'string' && Object.hasOwn(BATCH_NORM_ACTIVATIONS, kind);
}
