/**
 * The largest pixel of each window, channel by channel; padding counts as −∞, so it is never the largest.
 *
 * `place` says which pixel of the window that was, the first of equal ones, as PyTorch; NaN is larger than anything.
 * It is all that the gradient reads: a byte for each result, where finding the place again would take the input,
 * for windows of stride 2 four floats for each result, and the result.
 */
import { elements, f32, i8 } from '../ir/types.js';
import { maxPoolGrad } from './max-pool-grad.js';
import { expectShape, type Op } from './op.js';
import { poolSamples } from './pool-samples.js';
import {
  eachWindow,
  POOL_PARAMS,
  POOL_SCALARS,
  poolResult,
  poolSizes,
  type PoolParams,
} from './pool-sizes.js';
import { refuseGradients } from './shapes.js';

/** The greatest side of a window whose places fit into a byte. */
const MOST_SIDE = 11;

/** y [B, Ho, Wo, C] of x [B, H, W, C]; place[…] = i · kernel + j. */
export const maxPool: Op<PoolParams, 'x', never, 'y' | 'place', never> = {
  name: 'max_pool',
  summary:
    'y[b,r,s,c] = max x[b, r·stride − padTop + i, s·stride − padLeft + j, c]; place = i·kernel + j',
  inputs: ['x'],
  outputs: ['y', 'place'],
  params: POOL_PARAMS,
  infer: ({ x }, params, at) => {
    const y = poolResult(x, params, at);
    const { kernel } = params;
    expectShape(
      kernel <= MOST_SIDE,
      at,
      `a kernel of at most ${String(MOST_SIDE)}`,
      String(kernel),
    );
    return { y, place: i8(...y.shape) };
  },
  grad: ({ emitter, inputs: { x }, outputs: { place }, outputGrads, params, needs }) => {
    refuseGradients('max_pool', outputGrads, ['place']);
    const { y: dy } = outputGrads;
    if (!dy || !needs('x')) return {};
    const [, height, width] = x.type.shape;
    return { x: emitter.emit(maxPoolGrad, { dy, place }, { ...params, height, width }).dx };
  },
  flops: ({ y }, { kernel }) => kernel * kernel * elements(y.shape),
  // From its input, which is several times as large.
  recompute: 'costly',
  keepExact: ['place'],
  reference: ({ x }, { y, place }, types, params) => {
    eachWindow(poolSizes(types.x, types.y, params), (at, pixels) => {
      let best = pixels[0];
      for (const pixel of pixels) {
        if (x[pixel.x] > x[best.x] || Number.isNaN(x[pixel.x])) best = pixel;
      }
      y[at] = x[best.x];
      place[at] = best.place;
    });
  },
  scalars: POOL_SCALARS,
  encode: ({ x, y }, params) => poolSizes(x, y, params),
  samples: poolSamples.map(({ title, params, x }) => ({
    title,
    params,
    inputs: { x: { type: f32(...x) } },
  })),
};
