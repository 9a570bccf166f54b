/** The gradient of average_pool: each pixel gathers its share from the windows that it is part of. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { poolSamples } from './pool-samples.js';
import {
  eachWindow,
  POOL_GRAD_PARAMS,
  POOL_SCALARS,
  pooledInput,
  poolResult,
  poolSizes,
  type PoolGradParams,
} from './pool-sizes.js';

export type AveragePoolGradParams = PoolGradParams & {
  /** Whether the padding is part of the mean. */
  readonly countPadding: boolean;
};

/** dx [B, H, W, C] of dy [B, Ho, Wo, C]. */
export const averagePoolGrad: Op<AveragePoolGradParams, 'dy', never, 'dx', never> = {
  name: 'average_pool_grad',
  gradientOf: 'average_pool',
  summary: 'dx[b, r·stride − padTop + i, …, c] = Σ dy[b,r,s,c] / number of pixels of the window',
  inputs: ['dy'],
  outputs: ['dx'],
  params: { ...POOL_GRAD_PARAMS, countPadding: 'truth' },
  infer: ({ dy }, params, at) => ({ dx: pooledInput(dy, params, at) }),
  flops: ({ dy }, { kernel }) => kernel * kernel * elements(dy.shape),
  recompute: 'costly',
  reference: ({ dy }, { dx }, types, params) => {
    dx.fill(0);
    eachWindow(poolSizes(types.dx, types.dy, params), (at, pixels) => {
      const count = params.countPadding ? params.kernel ** 2 : pixels.length;
      for (const pixel of pixels) dx[pixel.x] += dy[at] / count;
    });
  },
  scalars: { ...POOL_SCALARS, countPadding: 'int' },
  encode: ({ dy, dx }, params) => ({
    ...poolSizes(dx, dy, params),
    countPadding: Number(params.countPadding),
  }),
  samples: poolSamples.map(({ title, params, x, countPadding }) => ({
    title,
    params: { ...params, countPadding, height: x[1], width: x[2] },
    inputs: { dy: { type: poolResult(f32(...x), params, title) } },
  })),
};
