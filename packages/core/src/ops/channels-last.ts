/** Images with their channels first, as files and checkpoints have them, to channels last and back. */
import { f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm } from './shapes.js';

export type ChannelsLastParams = {
  /** False: [B, C, H, W] to [B, H, W, C]. True: back, which is also the gradient. */
  readonly inverse: boolean;
};

/** y[b,h,w,c] = x[b,c,h,w]; [B, C, H, W] ↔ [B, H, W, C]. */
export const channelsLast: Op<ChannelsLastParams, 'x', never, 'y', never> = {
  name: 'channels_last',
  summary: 'y[b,h,w,c] = x[b,c,h,w], or its inverse',
  inputs: ['x'],
  outputs: ['y'],
  params: { inverse: 'truth' },
  infer: ({ x }, { inverse }, at) => {
    expectForm(at, 'x', x, inverse ? 'f32[B,H,W,C]' : 'f32[B,C,H,W]');
    const [batch, first, second, third] = x.shape;
    return { y: inverse ? f32(batch, third, first, second) : f32(batch, second, third, first) };
  },
  grad: ({ emitter, outputGrads, params, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    const back = { inverse: !params.inverse };
    return { x: emitter.emit(channelsLast, { x: outputGrads.y }, back).y };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ x }, { y }, types, { inverse }) => {
    const { batch, rows, cols } = sizes(types.x.shape, inverse);
    for (let b = 0; b < batch; b++) {
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < cols; c++) {
          y[(b * cols + c) * rows + r] = x[(b * rows + r) * cols + c];
        }
      }
    }
  },
  scalars: { batch: 'int', rows: 'int', cols: 'int' },
  encode: ({ x }, { inverse }) => sizes(x.shape, inverse),
  samples: [
    { title: 'pictures', params: { inverse: false }, inputs: { x: { type: f32(2, 3, 13, 11) } } },
    { title: 'back', params: { inverse: true }, inputs: { x: { type: f32(2, 13, 11, 3) } } },
    { title: 'wide', params: { inverse: false }, inputs: { x: { type: f32(1, 37, 5, 9) } } },
    { title: 'grey', params: { inverse: true }, inputs: { x: { type: f32(2, 3, 5, 1) } } },
  ],
};

/** Per image a matrix [rows, cols] that is transposed: channels by pixels, or back. */
function sizes([batch, first, second, third]: readonly number[], inverse: boolean) {
  return inverse
    ? { batch, rows: first * second, cols: third }
    : { batch, rows: first, cols: second * third };
}
