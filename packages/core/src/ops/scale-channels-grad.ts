/** The gradients of scale_channels: that of the factors alone, or both in one pass over x and dy. */
import { elements, f32, type TensorType } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type ScaleChannelsGradParams = {
  /** Whether dx is wanted, for which s is needed. */
  readonly both: boolean;
};

/** ds[b,c] = Σ x[b,h,w,c] · dy[b,h,w,c]; dx[b,h,w,c] = dy[b,h,w,c] · s[b,c]. */
export const scaleChannelsGrad: Op<ScaleChannelsGradParams, 'x' | 'dy', 's', 'ds', 'dx'> = {
  name: 'scale_channels_grad',
  gradientOf: 'scale_channels',
  summary: 'ds[b,c] = Σ x[b,h,w,c] · dy[b,h,w,c]; dx[b,h,w,c] = dy[b,h,w,c] · s[b,c]',
  inputs: ['x', 'dy', 's?'],
  outputs: ['ds', 'dx?'],
  params: { both: 'truth' },
  infer: ({ x, dy, s }, { both }, at) => {
    expectForm(at, 'x', x, 'f32[B,H,W,C]');
    expectType(at, 'dy', dy, x);
    const ds = gatesOf(x);
    if (s) expectType(at, 's', s, ds);
    const given = s ? 'with s' : 'without s';
    expectShape((s !== undefined) === both, at, `s where both are wanted, and only there`, given);
    return { ds, ...(both && { dx: x }) };
  },
  flops: ({ x }, { both }) => (both ? 3 : 2) * elements(x.shape),
  recompute: 'costly',
  reference: ({ x, dy, s }, { ds, dx }, types) => {
    const { pixels, channels } = imageSizes(types.x);
    ds.fill(0);
    for (let i = 0; i < x.length; i++) {
      const gate = Math.floor(i / (pixels * channels)) * channels + (i % channels);
      // dx may lie in the memory of either operand: read both before writing.
      const slope = dy[i];
      ds[gate] += x[i] * slope;
      if (dx && s) dx[i] = slope * s[gate];
    }
  },
  inPlace: [
    ['dx', 'dy'],
    ['dx', 'x'],
  ],
  scalars: { batch: 'int', pixels: 'int', channels: 'int' },
  encode: ({ x }) => imageSizes(x),
  samples: [
    sample('small', [2, 3, 2, 5], true),
    sample('factors alone', [2, 3, 3, 19], false),
    sample('odd', [3, 4, 5, 67], true),
    sample('one image of many pixels', [1, 23, 19, 130], true),
    sample('one pixel', [1, 1, 1, 1], false),
  ],
};

function sample(title: string, shape: readonly number[], both: boolean) {
  const x = { type: f32(...shape) };
  return {
    title,
    params: { both },
    inputs: { x, dy: x, ...(both && { s: { type: gatesOf(x.type) } }) },
  };
}

/** One number for each image and channel. */
export function gatesOf({ shape: [batch, , , channels] }: TensorType): TensorType {
  return f32(batch, channels);
}

export function imageSizes({ shape: [batch, height, width, channels] }: TensorType) {
  return { batch, pixels: height * width, channels };
}
