/**
 * Memory of a convolution's kernels (kernels/conv.h): a thread's panels of the product and staged pixels; none
 * where every channel is a group of its own, but partial sums of the weights' gradient.
 */
import { DTYPE_BYTES } from '../ir/types.js';
import { isDepthwise, type Conv2dSizes } from './conv2d-sizes.js';
import { GEMM_SCRATCH_BYTES } from './matmul.js';
import { columnSumBytes, roundUp } from './shapes.js';

/** Whole cache lines. */
const LINE_BYTES = 64;
/** BLOCK_K of kernels/gemm.h and PIECE of kernels/conv.h. */
const BLOCK_K = 384;
const PIECE = 96;

/** Of `conv2d`: the part of a row of the image that an output row reads, its zeros included. */
export function conv2dScratch(sizes: Conv2dSizes): number {
  if (isDepthwise(sizes)) return 0;
  const { outWidth, stride, dilation, kernelWidth, inputs, groups } = sizes;
  const pixels = (outWidth - 1) * stride + dilation * (kernelWidth - 1) + 1;
  return withPanels((pixels * inputs) / groups);
}

/** Of `conv2d_grad_input`: what a row of every stride-th pixel reads of an output row. */
export function conv2dGradInputScratch(sizes: Conv2dSizes): number {
  if (isDepthwise(sizes)) return 0;
  const { width, stride, dilation, kernelWidth, outputs, groups } = sizes;
  const reach = Math.floor((dilation * (kernelWidth - 1)) / stride) + 1;
  return withPanels(((Math.ceil(width / stride) + reach) * outputs) / groups);
}

/** Of `conv2d_grad_weight`: a piece of the taps of a block of pixels. */
export function conv2dGradWeightScratch(sizes: Conv2dSizes): number {
  return isDepthwise(sizes) ? 0 : withPanels(BLOCK_K * PIECE);
}

/** Shared by all threads. */
export function conv2dGradWeightWorkspace(sizes: Conv2dSizes): number {
  const { kernelHeight, kernelWidth, inputs } = sizes;
  return isDepthwise(sizes) ? columnSumBytes(kernelHeight * kernelWidth * inputs) : 0;
}

function withPanels(floats: number): number {
  return GEMM_SCRATCH_BYTES + roundUp(floats * DTYPE_BYTES.f32, LINE_BYTES);
}
