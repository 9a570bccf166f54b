/**
 * Convolution of images in NHWC, the order in which a pixel's channels are neighbours.
 *
 * y[b, r, s, o] = bias[o] + Σ x[b, r·stride − padTop + i·dilation, s·stride − padLeft + j·dilation, c] · w[i, j, c, o]
 *
 * over the taps (i, j) and the channels c of o's group; pixels outside of the image are zero. Sizes are in
 * conv2d-sizes.ts. A kernel of one pixel without stride is a `matmul` of pixels and faster as one; with a group
 * for each channel (a depthwise convolution) the kernels loop along the channels instead of multiplying matrices.
 */
import { elements, f32 } from '../ir/types.js';
import { conv2dGradInput } from './conv2d-grad-input.js';
import { conv2dGradWeight } from './conv2d-grad-weight.js';
import { conv2dSamples, sampleOf } from './conv2d-samples.js';
import {
  CONV2D_PARAMS,
  CONV2D_SCALARS,
  conv2dFlops,
  conv2dResult,
  conv2dSizes,
  eachProduct,
  type Conv2dParams,
} from './conv2d-sizes.js';
import { conv2dScratch } from './conv2d-scratch.js';
import type { Op } from './op.js';
import { expectType, lastOf } from './shapes.js';
import { summed } from './sum-rows.js';

/** y [B, Ho, Wo, O] of x [B, H, W, C] and w [KH, KW, C / groups, O]. */
export const conv2d: Op<Conv2dParams, 'x' | 'w', 'bias', 'y', never> = {
  name: 'conv2d',
  summary: 'y[b,r,s,o] = bias[o] + Σ x[b, r·stride − padTop + i·dilation, …, c] · w[i,j,c,o]',
  inputs: ['x', 'w', 'bias?'],
  outputs: ['y'],
  params: CONV2D_PARAMS,
  infer: ({ x, w, bias }, params, at) => {
    const y = conv2dResult(x, w, params, at);
    if (bias) expectType(at, 'bias', bias, f32(lastOf(y.shape)));
    return { y };
  },
  grad: ({ emitter, inputs: { x, w, bias }, outputGrads: { y: dy }, params, needs }) => {
    if (!dy) return {};
    const [, height, width] = x.type.shape;
    const [kernelHeight, kernelWidth] = w.type.shape;
    return {
      ...(needs('x') && {
        x: emitter.emit(conv2dGradInput, { dy, w }, { ...params, height, width }).dx,
      }),
      ...(needs('w') && {
        w: emitter.emit(conv2dGradWeight, { x, dy }, { ...params, kernelHeight, kernelWidth }).dw,
      }),
      ...(bias && needs('bias') && { bias: summed(emitter, dy, 3) }),
    };
  },
  flops: ({ x, w, bias, y }, params) =>
    conv2dFlops(conv2dSizes(x, w, y, params)) + (bias ? elements(y.shape) : 0),
  recompute: 'costly',
  reference: ({ x, w, bias }, { y }, types, params) => {
    for (let i = 0; i < y.length; i++) y[i] = bias ? bias[i % bias.length] : 0;
    eachProduct(conv2dSizes(types.x, types.w, types.y, params), (atX, atW, atY) => {
      y[atY] += x[atX] * w[atW];
    });
  },
  scalars: CONV2D_SCALARS,
  encode: ({ x, w, y }, params) => conv2dSizes(x, w, y, params),
  scratch: ({ x, w, y }, params) => conv2dScratch(conv2dSizes(x, w, y, params)),
  samples: conv2dSamples.map((sample) => ({
    title: sample.title,
    params: sample.params,
    inputs: {
      x: sampleOf(sample.x, sample),
      w: sampleOf(sample.w, sample),
      ...(sample.bias === true && { bias: { type: f32(sample.w[3]) } }),
    },
  })),
};
