/** The kernels of a convolution as checkpoints have them, outputs first, to the order that `conv2d` reads, and back. */
import { f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm } from './shapes.js';

export type HwioParams = {
  /** False: [O, I, H, W] to [H, W, I, O]. True: back, which is also the gradient. */
  readonly inverse: boolean;
};

/** y[h,w,i,o] = x[o,i,h,w]; [O, I, H, W] ↔ [H, W, I, O]. */
export const hwio: Op<HwioParams, 'x', never, 'y', never> = {
  name: 'hwio',
  summary: 'y[h,w,i,o] = x[o,i,h,w], or its inverse',
  inputs: ['x'],
  outputs: ['y'],
  params: { inverse: 'truth' },
  infer: ({ x }, { inverse }, at) => {
    expectForm(at, 'x', x, inverse ? 'f32[H,W,I,O]' : 'f32[O,I,H,W]');
    const [a, b, c, d] = x.shape;
    return { y: inverse ? f32(d, c, a, b) : f32(c, d, b, a) };
  },
  grad: ({ emitter, outputGrads, params, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    return { x: emitter.emit(hwio, { x: outputGrads.y }, { inverse: !params.inverse }).y };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ x }, { y }, types, { inverse }) => {
    const { outputs, inputs, taps } = sizes(types.x.shape, inverse);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        for (let tap = 0; tap < taps; tap++) {
          const first = (o * inputs + i) * taps + tap;
          const last = (tap * inputs + i) * outputs + o;
          if (inverse) y[first] = x[last];
          else y[last] = x[first];
        }
      }
    }
  },
  scalars: { outputs: 'int', inputs: 'int', taps: 'int', inverse: 'int' },
  encode: ({ x }, { inverse }) => ({ ...sizes(x.shape, inverse), inverse: inverse ? 1 : 0 }),
  samples: [
    { title: 'kernels', params: { inverse: false }, inputs: { x: { type: f32(67, 5, 3, 3) } } },
    { title: 'back', params: { inverse: true }, inputs: { x: { type: f32(3, 3, 5, 67) } } },
    { title: 'depthwise', params: { inverse: false }, inputs: { x: { type: f32(37, 1, 5, 5) } } },
    { title: 'wide', params: { inverse: false }, inputs: { x: { type: f32(3, 70, 1, 2) } } },
  ],
};

function sizes([a, b, c, d]: readonly number[], inverse: boolean) {
  return inverse ? { outputs: d, inputs: c, taps: a * b } : { outputs: a, inputs: b, taps: c * d };
}
