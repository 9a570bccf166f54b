/**
 * How each op becomes ONNX nodes: a total table, so that the compiler asks for every new op.
 *
 * `training`: the op is part of a loss, a gradient, an update or a preparation; a forward pass to
 * logits does not have it.
 */
import type { OpName } from '@thimble/core';
import type { Site } from '../site.js';
import type { Lowered } from '../value-names.js';
import { clamp, hardSigmoid, hardSwish, sigmoid, silu } from './activations.js';
import { attention, relativePositionBias } from './attention.js';
import { averagePool, channelsLast, conv2d, hwio, maxPool } from './convolution.js';
import { batchNorm } from './batch-norm.js';
import { concatChannels, scaleChannels, sliceChannels } from './channels.js';
import { add, gelu, layernorm, matmul, multiply, scale } from './linear.js';
import {
  broadcastTokens,
  concatTokens,
  meanTokens,
  padTokens,
  patchify,
  reshape,
  sliceTokens,
  windows,
} from './tokens.js';

/** Writes the nodes of one op and returns the name of its output y. */
export type Lowering = (site: Site) => Lowered;

export const LOWERINGS: { readonly [K in OpName]: Lowering | 'training' } = {
  accumulate: 'training',
  accumulate_power: 'training',
  adam_step: 'training',
  adamw: 'training',
  add,
  assign: 'training',
  attention,
  attention_grad: 'training',
  average_pool: averagePool,
  average_pool_grad: 'training',
  batch_norm: batchNorm,
  batch_norm_grad_input: 'training',
  batch_norm_grad_params: 'training',
  batch_norm_statistics: 'training',
  bias_correction: 'training',
  broadcast_tokens: broadcastTokens,
  channels_last: channelsLast,
  cholesky: 'training',
  clamp,
  clamp_grad: 'training',
  clip_scale: 'training',
  concat_channels: concatChannels,
  concat_tokens: concatTokens,
  conv2d,
  conv2d_grad_input: 'training',
  conv2d_grad_weight: 'training',
  dequantise: 'training',
  fill: 'training',
  gelu,
  gelu_grad: 'training',
  gram: 'training',
  hard_sigmoid: hardSigmoid,
  hard_sigmoid_grad: 'training',
  hard_swish: hardSwish,
  hard_swish_grad: 'training',
  hwio,
  layernorm,
  layernorm_grad_input: 'training',
  layernorm_grad_params: 'training',
  matmul,
  max_pool: maxPool,
  max_pool_grad: 'training',
  mean_tokens: meanTokens,
  mode_contract: 'training',
  mode_product: 'training',
  multiply,
  normalise: 'training',
  orthonormalise: 'training',
  pad_tokens: padTokens,
  patchify,
  product_change: 'training',
  quantise: 'training',
  quantised_velocity: 'training',
  random_uniform: 'training',
  relative_position_bias: relativePositionBias,
  relative_position_bias_grad: 'training',
  reshape,
  running_statistics: 'training',
  scale,
  scale_channels: scaleChannels,
  scale_channels_grad: 'training',
  sgd: 'training',
  sigmoid,
  sigmoid_grad: 'training',
  silu,
  silu_grad: 'training',
  slice_batch: 'training',
  slice_channels: sliceChannels,
  slice_tokens: sliceTokens,
  softmax_cross_entropy: 'training',
  softmax_cross_entropy_grad: 'training',
  sum_rows: 'training',
  sum_squares: 'training',
  symmetric_eigen: 'training',
  triangular_product: 'training',
  velocity: 'training',
  windows,
};
