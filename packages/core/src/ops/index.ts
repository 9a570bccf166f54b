/**
 * The op registry. To be listed is to be tested: every op here is checked against its reference on
 * every executor, and its gradient against central differences, from its own samples.
 */
import { GraphError, UnknownNameError } from '../errors.js';
import { accumulate } from './accumulate.js';
import { accumulatePower } from './accumulate-power.js';
import { adamStep } from './adam-step.js';
import { adamw } from './adamw.js';
import { add } from './add.js';
import { assign } from './assign.js';
import { attention } from './attention.js';
import { attentionGrad } from './attention-grad.js';
import { averagePool } from './average-pool.js';
import { averagePoolGrad } from './average-pool-grad.js';
import { batchNorm } from './batch-norm.js';
import { batchNormGradInput } from './batch-norm-grad-input.js';
import { batchNormGradParams } from './batch-norm-grad-params.js';
import { batchNormStatistics } from './batch-norm-statistics.js';
import { biasCorrection } from './bias-correction.js';
import { broadcastTokens } from './broadcast-tokens.js';
import { channelsLast } from './channels-last.js';
import { cholesky } from './cholesky.js';
import { clamp } from './clamp.js';
import { clampGrad } from './clamp-grad.js';
import { clipScale } from './clip-scale.js';
import { concatChannels } from './concat-channels.js';
import { concatTokens } from './concat-tokens.js';
import { conv2d } from './conv2d.js';
import { conv2dGradInput } from './conv2d-grad-input.js';
import { conv2dGradWeight } from './conv2d-grad-weight.js';
import { dequantise } from './dequantise.js';
import { fill } from './fill.js';
import { gelu } from './gelu.js';
import { geluGrad } from './gelu-grad.js';
import { gram } from './gram.js';
import { hardSigmoid } from './hard-sigmoid.js';
import { hardSigmoidGrad } from './hard-sigmoid-grad.js';
import { hardSwish } from './hard-swish.js';
import { hardSwishGrad } from './hard-swish-grad.js';
import { hwio } from './hwio.js';
import { layernorm } from './layernorm.js';
import { layernormGradInput } from './layernorm-grad-input.js';
import { layernormGradParams } from './layernorm-grad-params.js';
import { matmul } from './matmul.js';
import { maxPool } from './max-pool.js';
import { maxPoolGrad } from './max-pool-grad.js';
import { meanTokens } from './mean-tokens.js';
import { modeContract } from './mode-contract.js';
import { modeProduct } from './mode-product.js';
import type { Op } from './op.js';
import { multiply } from './multiply.js';
import { normalise } from './normalise.js';
import { orthonormalise } from './orthonormalise.js';
import { padTokens } from './pad-tokens.js';
import { patchify } from './patchify.js';
import { productChange } from './product-change.js';
import { quantise } from './quantise.js';
import { quantisedVelocity } from './quantised-velocity.js';
import { randomUniform } from './random-uniform.js';
import { relativePositionBias } from './relative-position-bias.js';
import { relativePositionBiasGrad } from './relative-position-bias-grad.js';
import { reshape } from './reshape.js';
import { runningStatistics } from './running-statistics.js';
import { scale } from './scale.js';
import { scaleChannels } from './scale-channels.js';
import { scaleChannelsGrad } from './scale-channels-grad.js';
import { sgd } from './sgd.js';
import { sigmoid } from './sigmoid.js';
import { sigmoidGrad } from './sigmoid-grad.js';
import { silu } from './silu.js';
import { siluGrad } from './silu-grad.js';
import { sliceBatch } from './slice-batch.js';
import { sliceChannels } from './slice-channels.js';
import { sliceTokens } from './slice-tokens.js';
import { softmaxCrossEntropy } from './softmax-cross-entropy.js';
import { softmaxCrossEntropyGrad } from './softmax-cross-entropy-grad.js';
import { sumRows } from './sum-rows.js';
import { sumSquares } from './sum-squares.js';
import { symmetricEigen } from './symmetric-eigen.js';
import { triangularProduct } from './triangular-product.js';
import { velocity } from './velocity.js';
import { windows } from './windows.js';

/** All ops, sorted by name; the position (from 1) among those that are not views is the opcode. */
export const OPS = {
  accumulate,
  accumulate_power: accumulatePower,
  adam_step: adamStep,
  adamw,
  add,
  assign,
  attention,
  attention_grad: attentionGrad,
  average_pool: averagePool,
  average_pool_grad: averagePoolGrad,
  batch_norm: batchNorm,
  batch_norm_grad_input: batchNormGradInput,
  batch_norm_grad_params: batchNormGradParams,
  batch_norm_statistics: batchNormStatistics,
  bias_correction: biasCorrection,
  broadcast_tokens: broadcastTokens,
  channels_last: channelsLast,
  cholesky,
  clamp,
  clamp_grad: clampGrad,
  clip_scale: clipScale,
  concat_channels: concatChannels,
  concat_tokens: concatTokens,
  conv2d,
  conv2d_grad_input: conv2dGradInput,
  conv2d_grad_weight: conv2dGradWeight,
  dequantise,
  fill,
  gelu,
  gelu_grad: geluGrad,
  gram,
  hard_sigmoid: hardSigmoid,
  hard_sigmoid_grad: hardSigmoidGrad,
  hard_swish: hardSwish,
  hard_swish_grad: hardSwishGrad,
  hwio,
  layernorm,
  layernorm_grad_input: layernormGradInput,
  layernorm_grad_params: layernormGradParams,
  matmul,
  max_pool: maxPool,
  max_pool_grad: maxPoolGrad,
  mean_tokens: meanTokens,
  mode_contract: modeContract,
  mode_product: modeProduct,
  multiply,
  normalise,
  orthonormalise,
  pad_tokens: padTokens,
  patchify,
  product_change: productChange,
  quantise,
  quantised_velocity: quantisedVelocity,
  random_uniform: randomUniform,
  relative_position_bias: relativePositionBias,
  relative_position_bias_grad: relativePositionBiasGrad,
  reshape,
  running_statistics: runningStatistics,
  scale,
  scale_channels: scaleChannels,
  scale_channels_grad: scaleChannelsGrad,
  sgd,
  sigmoid,
  sigmoid_grad: sigmoidGrad,
  silu,
  silu_grad: siluGrad,
  slice_batch: sliceBatch,
  slice_channels: sliceChannels,
  slice_tokens: sliceTokens,
  softmax_cross_entropy: softmaxCrossEntropy,
  softmax_cross_entropy_grad: softmaxCrossEntropyGrad,
  sum_rows: sumRows,
  sum_squares: sumSquares,
  symmetric_eigen: symmetricEigen,
  triangular_product: triangularProduct,
  velocity,
  windows,
} as const;

/** Name of an op in the registry. */
export type OpName = keyof typeof OPS;

/** An op whose operand names are not known statically. */
export type AnyOp = Op;

const TABLE: Readonly<Record<string, AnyOp | undefined>> = OPS;
const KERNEL_OPS: readonly AnyOp[] = Object.values<AnyOp>(OPS).filter((op) => !op.view);

/** The op called `name`. Throws UnknownNameError. */
export function opNamed(name: string): AnyOp {
  const op = Object.hasOwn(TABLE, name) ? TABLE[name] : undefined;
  if (op) return op;
  throw new UnknownNameError({
    where: 'op',
    expected: `one of ${Object.keys(OPS).join(', ')}`,
    got: `"${name}"`,
    todo: 'Add the op to ops/index.ts',
  });
}

/**
 * Opcode of an op in a Program, from 1; 0 ends an entry. Throws for a view, which has no kernel.
 */
export function opcodeOf(name: string): number {
  const index = KERNEL_OPS.indexOf(opNamed(name));
  if (index >= 0) return index + 1;
  throw new GraphError({
    where: `op ${name}`,
    expected: 'an op with a kernel',
    got: 'a view',
    todo: 'Leave views out of the program: their output is their input',
  });
}
