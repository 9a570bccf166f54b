/**
 * The mean of each window, channel by channel. With `countPadding`, PyTorch's default, pixels of the padding count
 * as zeros; without, the mean is of those in the image, as of TensorFlow.
 */
import { elements, f32 } from '../ir/types.js';
import { averagePoolGrad } from './average-pool-grad.js';
import type { Op } from './op.js';
import { poolSamples } from './pool-samples.js';
import {
  eachWindow,
  POOL_PARAMS,
  POOL_SCALARS,
  poolResult,
  poolSizes,
  type PoolParams,
} from './pool-sizes.js';

export type AveragePoolParams = PoolParams & {
  /** Whether the padding is part of the mean. */
  readonly countPadding: boolean;
};

/** y [B, Ho, Wo, C] of x [B, H, W, C]. */
export const averagePool: Op<AveragePoolParams, 'x', never, 'y', never> = {
  name: 'average_pool',
  summary: 'y[b,r,s,c] = mean x[b, r·stride − padTop + i, s·stride − padLeft + j, c]',
  inputs: ['x'],
  outputs: ['y'],
  params: { ...POOL_PARAMS, countPadding: 'truth' },
  infer: ({ x }, params, at) => ({ y: poolResult(x, params, at) }),
  grad: ({ emitter, inputs: { x }, outputGrads: { y: dy }, params, needs }) => {
    if (!dy || !needs('x')) return {};
    const [, height, width] = x.type.shape;
    return { x: emitter.emit(averagePoolGrad, { dy }, { ...params, height, width }).dx };
  },
  flops: ({ y }, { kernel }) => kernel * kernel * elements(y.shape),
  // From its input, which is several times as large.
  recompute: 'costly',
  reference: ({ x }, { y }, types, params) => {
    eachWindow(poolSizes(types.x, types.y, params), (at, pixels) => {
      const count = params.countPadding ? params.kernel ** 2 : pixels.length;
      y[at] = pixels.reduce((sum, pixel) => sum + x[pixel.x], 0) / count;
    });
  },
  scalars: { ...POOL_SCALARS, countPadding: 'int' },
  encode: ({ x, y }, params) => ({
    ...poolSizes(x, y, params),
    countPadding: Number(params.countPadding),
  }),
  samples: poolSamples.map(({ title, params, x, countPadding }) => ({
    title,
    params: { ...params, countPadding },
    inputs: { x: { type: f32(...x) } },
  })),
};
