/** The gradient of a convolution by its input: each pixel gathers from the outputs that it is part of. */
import { f32 } from '../ir/types.js';
import { conv2dGradInputScratch } from './conv2d-scratch.js';
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
import type { Op } from './op.js';
import { expectForm, expectInteger, expectType } from './shapes.js';

export type Conv2dGradInputParams = Conv2dParams & {
  /** Of the input, which the output does not tell. */
  readonly height: number;
  readonly width: number;
};

/** dx [B, H, W, C] of dy [B, Ho, Wo, O] and w [KH, KW, C / groups, O]. */
export const conv2dGradInput: Op<Conv2dGradInputParams, 'dy' | 'w', never, 'dx', never> = {
  name: 'conv2d_grad_input',
  summary: 'dx[b, r·stride − padTop + i·dilation, …, c] = Σ dy[b,r,s,o] · w[i,j,c,o]',
  inputs: ['dy', 'w'],
  outputs: ['dx'],
  params: { ...CONV2D_PARAMS, height: 'whole', width: 'whole' },
  gradientOf: 'conv2d',
  infer: ({ dy, w }, params, at) => {
    expectForm(at, 'dy', dy, 'f32[B,Ho,Wo,O]');
    expectForm(at, 'w', w, 'f32[KH,KW,C/G,O]');
    expectInteger(at, 'height', params.height, 1);
    expectInteger(at, 'width', params.width, 1);
    const dx = f32(dy.shape[0], params.height, params.width, w.shape[2] * params.groups);
    expectType(at, 'dy', dy, conv2dResult(dx, w, params, at));
    return { dx };
  },
  flops: ({ dy, w, dx }, params) => conv2dFlops(conv2dSizes(dx, w, dy, params)),
  recompute: 'costly',
  reference: ({ dy, w }, { dx }, types, params) => {
    dx.fill(0);
    eachProduct(conv2dSizes(types.dx, types.w, types.dy, params), (atX, atW, atY) => {
      dx[atX] += dy[atY] * w[atW];
    });
  },
  scalars: CONV2D_SCALARS,
  encode: ({ dy, w, dx }, params) => conv2dSizes(dx, w, dy, params),
  scratch: ({ dy, w, dx }, params) => conv2dGradInputScratch(conv2dSizes(dx, w, dy, params)),
  samples: conv2dSamples.map((sample) => {
    const { title, params, x, w } = sample;
    const dy = conv2dResult(f32(...x), f32(...w), params, title);
    return {
      title,
      params: { ...params, height: x[1], width: x[2] },
      inputs: { dy: sampleOf(dy.shape, sample), w: sampleOf(w, sample) },
    };
  }),
};
