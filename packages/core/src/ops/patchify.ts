/**
 * Images to patches and back. A patch is the row (c, dy, dx) that a convolution kernel of shape
 * [O, C, p, p] meets, so patch embedding is this op followed by a matmul with the flattened kernel.
 */
import { f32, type TensorType } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectInteger, expectForm, expectType } from './shapes.js';

export type PatchifyParams = {
  /** Side of a patch in pixels; divides height and width. */
  readonly patch: number;
  /** False: image to patches. True: patches to image, which is also the gradient. */
  readonly inverse: boolean;
  /** The image, in both directions. */
  readonly channels: number;
  readonly height: number;
  readonly width: number;
};

/** y[b, r·W/p + s, (c·p + i)·p + j] = x[b, c, r·p + i, s·p + j]; [B, C, H, W] ↔ [B, HW/p², Cp²]. */
export const patchify: Op<PatchifyParams, 'x', never, 'y', never> = {
  name: 'patchify',
  summary: 'y[b, r·W/p + s, (c·p + i)·p + j] = x[b, c, r·p + i, s·p + j], or its inverse',
  inputs: ['x'],
  outputs: ['y'],
  params: { patch: 'whole', inverse: 'truth', channels: 'whole', height: 'whole', width: 'whole' },
  infer: ({ x }, params, at) => {
    const form = params.inverse ? 'f32[B,N,C·p·p]' : 'f32[B,C,H,W]';
    expectForm(at, 'x', x, form);
    for (const key of ['patch', 'channels', 'height', 'width'] as const) {
      expectInteger(at, key, params[key], 1);
    }
    const { patch, height, width } = params;
    expectShape(
      height % patch === 0 && width % patch === 0,
      at,
      `an image that patches of side ${String(patch)} tile exactly`,
      `height ${String(height)}, width ${String(width)}`,
    );
    const { image, patches } = bothTypes(x.shape[0], params);
    expectType(at, 'x', x, params.inverse ? patches : image);
    return { y: params.inverse ? image : patches };
  },
  grad: ({ emitter, outputGrads, params, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    const back = { ...params, inverse: !params.inverse };
    return { x: emitter.emit(patchify, { x: outputGrads.y }, back).y };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ x }, { y }, types, params) => {
    const { patch, channels, height, width } = params;
    const across = width / patch;
    let at = 0; // position in the patches, which are walked in order
    for (let b = 0; b < types.x.shape[0]; b++) {
      for (let n = 0; n < (height / patch) * across; n++) {
        const top = Math.floor(n / across) * patch;
        const left = (n % across) * patch;
        for (let c = 0; c < channels; c++) {
          for (let i = 0; i < patch; i++) {
            for (let j = 0; j < patch; j++) {
              const pixel = ((b * channels + c) * height + top + i) * width + left + j;
              if (params.inverse) y[pixel] = x[at++];
              else y[at++] = x[pixel];
            }
          }
        }
      }
    }
  },
  scalars: {
    batch: 'int',
    channels: 'int',
    height: 'int',
    width: 'int',
    patch: 'int',
    inverse: 'int',
  },
  encode: ({ x }, { channels, height, width, patch, inverse }) => ({
    batch: x.shape[0],
    channels,
    height,
    width,
    patch,
    inverse: Number(inverse),
  }),
  samples: [
    {
      title: 'forward',
      params: { patch: 2, inverse: false, channels: 3, height: 4, width: 6 },
      inputs: { x: { type: f32(2, 3, 4, 6) } },
    },
    {
      title: 'inverse',
      params: { patch: 2, inverse: true, channels: 3, height: 4, width: 6 },
      inputs: { x: { type: f32(2, 6, 12) } },
    },
    {
      title: 'odd patch',
      params: { patch: 5, inverse: false, channels: 1, height: 10, width: 15 },
      inputs: { x: { type: f32(1, 1, 10, 15) } },
    },
    {
      title: 'pixels as patches',
      params: { patch: 1, inverse: false, channels: 3, height: 2, width: 3 },
      inputs: { x: { type: f32(2, 3, 2, 3) } },
    },
    {
      title: 'one patch',
      params: { patch: 16, inverse: true, channels: 1, height: 16, width: 16 },
      inputs: { x: { type: f32(1, 1, 256) } },
    },
  ],
};

function bothTypes(
  batch: number,
  { patch, channels, height, width }: PatchifyParams,
): { readonly image: TensorType; readonly patches: TensorType } {
  const count = (height / patch) * (width / patch);
  return {
    image: f32(batch, channels, height, width),
    patches: f32(batch, count, channels * patch * patch),
  };
}
