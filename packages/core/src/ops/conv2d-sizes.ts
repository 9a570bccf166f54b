/**
 * Sizes of a two-dimensional convolution and the params that its three ops share.
 *
 * Legend: images of H × W pixels of C channels, a kernel of KH × KW taps that are `dilation` pixels apart, an
 * output of Ho × Wo pixels of O channels, one for each `stride` pixels; G groups of channels that do not mix.
 *
 *   Ho = ⌊(H + padTop + padBottom − dilation (KH − 1) − 1) / stride⌋ + 1
 *
 * Padding is by side, so that TensorFlow's 'SAME', which pads one pixel more below and to the right, is a case.
 */
import { f32, typeText, type TensorType } from '../ir/types.js';
import { expectShape } from './op.js';
import { expectForm, expectInteger } from './shapes.js';

export type Conv2dParams = {
  /** Pixels from one place of the kernel to the next, down and across. */
  readonly stride: number;
  /** Pixels from one tap to the next, down and across. */
  readonly dilation: number;
  /** Divides the channels of input and output. */
  readonly groups: number;
  /** Rows and columns of zeros around the image. */
  readonly padTop: number;
  readonly padLeft: number;
  readonly padBottom: number;
  readonly padRight: number;
};

export const CONV2D_PARAMS = {
  stride: 'whole',
  dilation: 'whole',
  groups: 'whole',
  padTop: 'whole',
  padLeft: 'whole',
  padBottom: 'whole',
  padRight: 'whole',
} as const;

/** Arguments of the kernels, in order. */
export const CONV2D_SCALARS = {
  batch: 'int',
  height: 'int',
  width: 'int',
  inputs: 'int',
  outHeight: 'int',
  outWidth: 'int',
  outputs: 'int',
  kernelHeight: 'int',
  kernelWidth: 'int',
  stride: 'int',
  dilation: 'int',
  groups: 'int',
  padTop: 'int',
  padLeft: 'int',
} as const;

export type Conv2dSizes = Readonly<Record<keyof typeof CONV2D_SCALARS, number>>;

/** One step without padding, dilation or groups. */
export const VALID: Conv2dParams = {
  ...{ stride: 1, dilation: 1, groups: 1 },
  ...{ padTop: 0, padLeft: 0, padBottom: 0, padRight: 0 },
};

/** With the same number of zeros on all sides. */
export function padded(pad: number, params: Partial<Conv2dParams> = {}): Conv2dParams {
  return { ...VALID, padTop: pad, padLeft: pad, padBottom: pad, padRight: pad, ...params };
}

/** What a convolution makes of x [B, H, W, C] and w [KH, KW, C / G, O]; throws ShapeError. */
export function conv2dResult(
  x: TensorType,
  w: TensorType,
  params: Conv2dParams,
  at: string,
): TensorType {
  expectForm(at, 'x', x, 'f32[B,H,W,C]');
  expectForm(at, 'w', w, 'f32[KH,KW,C/G,O]');
  for (const key of ['stride', 'dilation', 'groups'] as const) {
    expectInteger(at, key, params[key], 1);
  }
  for (const key of ['padTop', 'padLeft', 'padBottom', 'padRight'] as const) {
    expectInteger(at, key, params[key], 0);
  }
  const { groups } = params;
  const [, height, width, inputs] = x.shape;
  const [kernelHeight, kernelWidth, own, outputs] = w.shape;
  expectShape(
    own * groups === inputs && outputs % groups === 0,
    at,
    `w for ${String(inputs)} channels and a multiple of ${String(groups)} outputs in ${String(groups)} groups`,
    w,
  );
  const across = (extent: number, taps: number, before: number, after: number) =>
    Math.floor((extent + before + after - params.dilation * (taps - 1) - 1) / params.stride) + 1;
  const outHeight = across(height, kernelHeight, params.padTop, params.padBottom);
  const outWidth = across(width, kernelWidth, params.padLeft, params.padRight);
  expectShape(
    outHeight >= 1 && outWidth >= 1,
    at,
    `an image that a kernel of ${String(kernelHeight)} × ${String(kernelWidth)} fits into with its padding`,
    typeText(x),
  );
  return f32(x.shape[0], outHeight, outWidth, outputs);
}

/** Of x [B, H, W, C], w [KH, KW, C / G, O] and y [B, Ho, Wo, O]. */
export function conv2dSizes(
  x: TensorType,
  w: TensorType,
  y: TensorType,
  params: Conv2dParams,
): Conv2dSizes {
  const [batch, height, width, inputs] = x.shape;
  const [kernelHeight, kernelWidth] = w.shape;
  const [, outHeight, outWidth, outputs] = y.shape;
  const { stride, dilation, groups, padTop, padLeft } = params;
  return {
    ...{ batch, height, width, inputs, outHeight, outWidth, outputs },
    ...{ kernelHeight, kernelWidth, stride, dilation, groups, padTop, padLeft },
  };
}

/** Whether every channel is a group of its own, with one output: no product of matrices. */
export function isDepthwise({ inputs, outputs, groups }: Conv2dSizes): boolean {
  return inputs === groups && outputs === groups;
}

/** Multiplications and additions of the product, the same in all three directions. */
export function conv2dFlops(sizes: Conv2dSizes): number {
  const { batch, outHeight, outWidth, inputs, groups, outputs, kernelHeight, kernelWidth } = sizes;
  const taps = kernelHeight * kernelWidth * (inputs / groups);
  return 2 * batch * outHeight * outWidth * outputs * taps;
}

/** Calls `visit` with the offsets in x, w and y of every product x · w that is part of an element of y. */
export function eachProduct(
  sizes: Conv2dSizes,
  visit: (x: number, w: number, y: number) => void,
): void {
  const { batch, outHeight, outWidth, outputs, groups, inputs } = sizes;
  const own = inputs / groups;
  const ownOutputs = outputs / groups;
  for (let b = 0; b < batch; b++) {
    for (let row = 0; row < outHeight; row++) {
      for (let column = 0; column < outWidth; column++) {
        eachTap(sizes, row, column, (i, j, tap) => {
          const x = ((b * sizes.height + i) * sizes.width + j) * inputs;
          const y = ((b * outHeight + row) * outWidth + column) * outputs;
          for (let o = 0; o < outputs; o++) {
            const first = x + Math.floor(o / ownOutputs) * own;
            for (let c = 0; c < own; c++) visit(first + c, (tap * own + c) * outputs + o, y + o);
          }
        });
      }
    }
  }
}

/** The pixels (i, j) of the image under the taps of the kernel at one place of the output. */
function eachTap(
  { height, width, kernelHeight, kernelWidth, stride, dilation, padTop, padLeft }: Conv2dSizes,
  row: number,
  column: number,
  visit: (i: number, j: number, tap: number) => void,
): void {
  for (let down = 0; down < kernelHeight; down++) {
    const i = row * stride - padTop + down * dilation;
    if (i < 0 || i >= height) continue;
    for (let right = 0; right < kernelWidth; right++) {
      const j = column * stride - padLeft + right * dilation;
      if (j >= 0 && j < width) visit(i, j, down * kernelWidth + right);
    }
  }
}
