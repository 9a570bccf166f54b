/** Private memory of a convolution's threads: panels of the product, and staged pixels (kernels/conv.h). */
import { DTYPE_BYTES } from '../ir/types.js';
import type { Conv2dSizes } from './conv2d-sizes.js';
import { GEMM_SCRATCH_BYTES } from './matmul.js';
import { roundUp } from './shapes.js';

/** Whole cache lines. */
const LINE_BYTES = 64;
/** BLOCK_K of kernels/gemm.h and PIECE of kernels/conv.h. */
const BLOCK_K = 384;
const PIECE = 96;

/** Of `conv2d`: the part of a row of the image that an output row reads, its zeros included. */
export function conv2dScratch(sizes: Conv2dSizes): number {
  const { outWidth, stride, dilation, kernelWidth, inputs, groups } = sizes;
  const pixels = (outWidth - 1) * stride + dilation * (kernelWidth - 1) + 1;
  return withPanels((pixels * inputs) / groups);
}

/** Of `conv2d_grad_input`: what a row of every stride-th pixel reads of an output row. */
export function conv2dGradInputScratch(sizes: Conv2dSizes): number {
  const { width, stride, dilation, kernelWidth, outputs, groups } = sizes;
  const reach = Math.floor((dilation * (kernelWidth - 1)) / stride) + 1;
  return withPanels(((Math.ceil(width / stride) + reach) * outputs) / groups);
}

/** Of `conv2d_grad_weight`: a piece of the taps of a block of pixels. */
export function conv2dGradWeightScratch(): number {
  return withPanels(BLOCK_K * PIECE);
}

function withPanels(floats: number): number {
  return GEMM_SCRATCH_BYTES + roundUp(floats * DTYPE_BYTES.f32, LINE_BYTES);
}
