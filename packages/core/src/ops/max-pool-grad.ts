/** The gradient of max_pool: each pixel gathers from the windows whose largest it was. */
import { elements, f32, i8 } from '../ir/types.js';
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
import { expectType } from './shapes.js';

/** dx [B, H, W, C] of dy and place [B, Ho, Wo, C]. */
export const maxPoolGrad: Op<PoolGradParams, 'dy' | 'place', never, 'dx', never> = {
  name: 'max_pool_grad',
  gradientOf: 'max_pool',
  summary: 'dx[b, r·stride − padTop + i, …, c] = Σ dy[b,r,s,c] where place[b,r,s,c] = i·kernel + j',
  inputs: ['dy', 'place'],
  outputs: ['dx'],
  params: POOL_GRAD_PARAMS,
  infer: ({ dy, place }, params, at) => {
    const dx = pooledInput(dy, params, at);
    expectType(at, 'place', place, i8(...dy.shape));
    return { dx };
  },
  flops: ({ dy }, { kernel }) => kernel * kernel * elements(dy.shape),
  recompute: 'costly',
  reference: ({ dy, place }, { dx }, types, params) => {
    dx.fill(0);
    eachWindow(poolSizes(types.dx, types.dy, params), (at, pixels) => {
      for (const pixel of pixels) if (pixel.place === place[at]) dx[pixel.x] += dy[at];
    });
  },
  scalars: POOL_SCALARS,
  encode: ({ dy, dx }, params) => poolSizes(dx, dy, params),
  samples: poolSamples.map(({ title, params, x }) => {
    const { shape } = poolResult(f32(...x), params, title);
    const place = { type: i8(...shape), low: 0, high: params.kernel ** 2 };
    return {
      title,
      params: { ...params, height: x[1], width: x[2] },
      inputs: { dy: { type: f32(...shape) }, place },
    };
  }),
};
