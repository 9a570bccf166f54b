/** The gradient of a convolution by its weights: a sum over all places of the kernel, in an order of shapes alone. */
import { f32 } from '../ir/types.js';
import { conv2dGradWeightScratch, conv2dGradWeightWorkspace } from './conv2d-scratch.js';
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
import { expectShape, type Op } from './op.js';
import { expectForm, expectInteger, expectType } from './shapes.js';

export type Conv2dGradWeightParams = Conv2dParams & {
  /** Taps, which the output does not tell. */
  readonly kernelHeight: number;
  readonly kernelWidth: number;
};

/** dw [KH, KW, C / groups, O] of x [B, H, W, C] and dy [B, Ho, Wo, O]. */
export const conv2dGradWeight: Op<Conv2dGradWeightParams, 'x' | 'dy', never, 'dw', never> = {
  name: 'conv2d_grad_weight',
  summary: 'dw[i,j,c,o] = Σ x[b, r·stride − padTop + i·dilation, …, c] · dy[b,r,s,o]',
  inputs: ['x', 'dy'],
  outputs: ['dw'],
  params: { ...CONV2D_PARAMS, kernelHeight: 'whole', kernelWidth: 'whole' },
  gradientOf: 'conv2d',
  infer: ({ x, dy }, params, at) => {
    expectForm(at, 'x', x, 'f32[B,H,W,C]');
    expectForm(at, 'dy', dy, 'f32[B,Ho,Wo,O]');
    const { kernelHeight, kernelWidth, groups } = params;
    expectInteger(at, 'kernelHeight', kernelHeight, 1);
    expectInteger(at, 'kernelWidth', kernelWidth, 1);
    expectInteger(at, 'groups', groups, 1);
    expectShape(x.shape[3] % groups === 0, at, `x of ${String(groups)} groups of channels`, x);
    const dw = f32(kernelHeight, kernelWidth, x.shape[3] / groups, dy.shape[3]);
    expectType(at, 'dy', dy, conv2dResult(x, dw, params, at));
    return { dw };
  },
  flops: ({ x, dy, dw }, params) => conv2dFlops(conv2dSizes(x, dw, dy, params)),
  recompute: 'costly',
  reference: ({ x, dy }, { dw }, types, params) => {
    dw.fill(0);
    eachProduct(conv2dSizes(types.x, types.dw, types.dy, params), (atX, atW, atY) => {
      dw[atW] += x[atX] * dy[atY];
    });
  },
  scalars: CONV2D_SCALARS,
  encode: ({ x, dy, dw }, params) => conv2dSizes(x, dw, dy, params),
  workspace: ({ x, dy, dw }, params) => conv2dGradWeightWorkspace(conv2dSizes(x, dw, dy, params)),
  scratch: ({ x, dy, dw }, params) => conv2dGradWeightScratch(conv2dSizes(x, dw, dy, params)),
  samples: conv2dSamples.map((sample) => {
    const { title, params, x, w } = sample;
    const dy = conv2dResult(f32(...x), f32(...w), params, title);
    return {
      title,
      params: { ...params, kernelHeight: w[0], kernelWidth: w[1] },
      inputs: { x: sampleOf(x, sample), dy: sampleOf(dy.shape, sample) },
    };
  }),
};
