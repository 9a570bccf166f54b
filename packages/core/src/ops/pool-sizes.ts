/**
 * Sizes of pooling and the params that its four ops share.
 *
 * Legend: images of H × W pixels of C channels, square windows of K × K pixels, an output of Ho × Wo windows, one
 * for each `stride` pixels: Ho = ⌊(H + padTop + padBottom − K) / stride⌋ + 1. Padding is by side, as of conv2d, and
 * less than K, so that every window has a pixel of the image.
 */
import { f32, type TensorType } from '../ir/types.js';
import { expectShape } from './op.js';
import { expectForm, expectInteger, expectType } from './shapes.js';

export type PoolParams = {
  /** Side of a window in pixels. */
  readonly kernel: number;
  /** Pixels from one window to the next, down and across. */
  readonly stride: number;
  /** Rows and columns around the image. */
  readonly padTop: number;
  readonly padLeft: number;
  readonly padBottom: number;
  readonly padRight: number;
};

/** Params of a gradient: the input's sides, which the output does not tell. */
export type PoolGradParams = PoolParams & { readonly height: number; readonly width: number };

const PADS = ['padTop', 'padLeft', 'padBottom', 'padRight'] as const;

export const POOL_PARAMS = {
  kernel: 'whole',
  stride: 'whole',
  padTop: 'whole',
  padLeft: 'whole',
  padBottom: 'whole',
  padRight: 'whole',
} as const;

export const POOL_GRAD_PARAMS = { ...POOL_PARAMS, height: 'whole', width: 'whole' } as const;

/** Arguments of the kernels, in order. */
export const POOL_SCALARS = {
  batch: 'int',
  height: 'int',
  width: 'int',
  channels: 'int',
  outHeight: 'int',
  outWidth: 'int',
  kernel: 'int',
  stride: 'int',
  padTop: 'int',
  padLeft: 'int',
} as const;

export type PoolSizes = Readonly<Record<keyof typeof POOL_SCALARS, number>>;

/** Windows of `kernel` pixels with as much padding on all sides. */
export function pooled(kernel: number, stride: number, pad: number): PoolParams {
  return { kernel, stride, padTop: pad, padLeft: pad, padBottom: pad, padRight: pad };
}

/** One number for each window and channel of x [B, H, W, C]; throws ShapeError. */
export function poolResult(x: TensorType, params: PoolParams, at: string): TensorType {
  expectForm(at, 'x', x, 'f32[B,H,W,C]');
  const { kernel, stride } = params;
  expectInteger(at, 'kernel', kernel, 1);
  expectInteger(at, 'stride', stride, 1);
  for (const key of PADS) {
    expectInteger(at, key, params[key], 0);
    expectShape(
      params[key] < kernel,
      at,
      `${key} below the kernel's ${String(kernel)} pixels`,
      String(params[key]),
    );
  }
  const [batch, height, width, channels] = x.shape;
  const across = (extent: number, before: number, after: number) =>
    Math.floor((extent + before + after - kernel) / stride) + 1;
  const outHeight = across(height, params.padTop, params.padBottom);
  const outWidth = across(width, params.padLeft, params.padRight);
  const fits = outHeight >= 1 && outWidth >= 1;
  expectShape(
    fits,
    at,
    `an image with padding that holds ${String(kernel)} × ${String(kernel)}`,
    x,
  );
  return f32(batch, outHeight, outWidth, channels);
}

/** The input of which `dy` is the gradient of the pooled windows; throws ShapeError. */
export function pooledInput(dy: TensorType, params: PoolGradParams, at: string): TensorType {
  expectForm(at, 'dy', dy, 'f32[B,Ho,Wo,C]');
  expectInteger(at, 'height', params.height, 1);
  expectInteger(at, 'width', params.width, 1);
  const [batch, , , channels] = dy.shape;
  const dx = f32(batch, params.height, params.width, channels);
  expectType(at, 'dy', dy, poolResult(dx, params, at));
  return dx;
}

/** Of x [B, H, W, C] and y [B, Ho, Wo, C]. */
export function poolSizes(x: TensorType, y: TensorType, params: PoolParams): PoolSizes {
  const [batch, height, width, channels] = x.shape;
  const [, outHeight, outWidth] = y.shape;
  const { kernel, stride, padTop, padLeft } = params;
  return {
    ...{ batch, height, width, channels, outHeight, outWidth },
    ...{ kernel, stride, padTop, padLeft },
  };
}

/**
 * Calls `visit` for every window and channel with the offset in y, and those in x of the window's pixels in the
 * image with their places in the window, row by row.
 */
export function eachWindow(
  sizes: PoolSizes,
  visit: (y: number, pixels: readonly Pixel[]) => void,
): void {
  const { batch, outHeight, outWidth, channels } = sizes;
  for (let b = 0; b < batch; b++) {
    for (let row = 0; row < outHeight; row++) {
      for (let column = 0; column < outWidth; column++) {
        const pixels = pixelsOf(sizes, row, column);
        for (let c = 0; c < channels; c++) {
          const first = b * sizes.height * sizes.width * channels + c;
          visit(
            ((b * outHeight + row) * outWidth + column) * channels + c,
            pixels.map(({ x, place }) => ({ x: first + x * channels, place })),
          );
        }
      }
    }
  }
}

interface Pixel {
  readonly x: number;
  readonly place: number;
}

/** The pixels of a window by their numbers in the image. */
function pixelsOf(sizes: PoolSizes, row: number, column: number): readonly Pixel[] {
  const { kernel, stride } = sizes;
  const pixels: Pixel[] = [];
  for (let place = 0; place < kernel * kernel; place++) {
    const i = row * stride - sizes.padTop + Math.floor(place / kernel);
    const j = column * stride - sizes.padLeft + (place % kernel);
    const inside = i >= 0 && i < sizes.height && j >= 0 && j < sizes.width;
    if (inside) pixels.push({ x: i * sizes.width + j, place });
  }
  return pixels;
}
