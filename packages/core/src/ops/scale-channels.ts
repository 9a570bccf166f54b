/** Every channel of an image times a number of its own: the gate of squeeze-excitation. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { gatesOf, imageSizes, scaleChannelsGrad } from './scale-channels-grad.js';
import { expectForm, expectType, type NoParams } from './shapes.js';

/** y[b,h,w,c] = x[b,h,w,c] · s[b,c]; x [B, H, W, C], s [B, C]. */
export const scaleChannels: Op<NoParams, 'x' | 's', never, 'y', never> = {
  name: 'scale_channels',
  summary: 'y[b,h,w,c] = x[b,h,w,c] · s[b,c]',
  inputs: ['x', 's'],
  outputs: ['y'],
  params: {},
  infer: ({ x, s }, _params, at) => {
    expectForm(at, 'x', x, 'f32[B,H,W,C]');
    expectType(at, 's', s, gatesOf(x));
    return { y: x };
  },
  grad: ({ emitter, inputs: { x, s }, outputGrads: { y: dy }, needs }) => {
    if (!dy) return {};
    if (!needs('s')) {
      return needs('x') ? { x: emitter.emit(scaleChannels, { x: dy, s }, {}).y } : {};
    }
    const both = needs('x');
    const { ds, dx } = emitter.emit(scaleChannelsGrad, { x, dy, ...(both && { s }) }, { both });
    return { s: ds, ...(dx && { x: dx }) };
  },
  flops: ({ x }) => elements(x.shape),
  recompute: 'cheap',
  reference: ({ x, s }, { y }, types) => {
    const [, height, width, channels] = types.x.shape;
    for (let i = 0; i < y.length; i++) {
      const image = Math.floor(i / (height * width * channels));
      y[i] = x[i] * s[image * channels + (i % channels)];
    }
  },
  inPlace: [['y', 'x']],
  scalars: { batch: 'int', pixels: 'int', channels: 'int' },
  encode: ({ x }) => imageSizes(x),
  samples: [
    {
      title: 'small',
      params: {},
      inputs: { x: { type: f32(2, 3, 2, 5) }, s: { type: f32(2, 5) } },
    },
    {
      title: 'odd',
      params: {},
      inputs: { x: { type: f32(3, 4, 5, 67) }, s: { type: f32(3, 67) } },
    },
    {
      title: 'one pixel',
      params: {},
      inputs: { x: { type: f32(1, 1, 1, 1) }, s: { type: f32(1, 1) } },
    },
  ],
};
