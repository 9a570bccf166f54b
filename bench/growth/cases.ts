/**
 * What the growth benchmark varies: one size of a small vision transformer at a time, everything else
 * at the base. Legend: B images of a batch, N tokens (one of them the class token), D width, L depth.
 */
import type { VitConfig } from '@thimble/core';

export const AXES = ['batch', 'tokens', 'width', 'depth'] as const;
export type Axis = (typeof AXES)[number];

export interface GrowthCase {
  readonly model: VitConfig;
  readonly batch: number;
}

type Sizes = Readonly<Record<'batch' | 'side' | 'width' | 'depth', number>>;

/** `vit-micro` at batch 8: B = 8, N = 65, D = 128, L = 6; heads of 32 channels at every width. */
const BASE: Sizes = { batch: 8, side: 8, width: 128, depth: 6 };
const PATCH = 4;
const HEAD = 32;

/** The side of the grid of patches for `tokens`, the size itself for the others. */
const SIZES: Readonly<Record<Axis, readonly number[]>> = {
  batch: [2, 4, 8, 12, 16],
  tokens: [4, 6, 8, 12, 16],
  width: [64, 96, 128, 192, 256],
  depth: [2, 4, 6, 9, 12],
};

/** What theory says of one axis, as degrees of polynomials in x. */
export interface Theory {
  readonly unit: string;
  readonly time: string;
  readonly bytes: string;
  /** Degree of the polynomial that the bytes follow. */
  readonly bytesDegree: 1 | 2;
}

export const THEORY: Readonly<Record<Axis, Theory>> = {
  batch: {
    unit: 'batch B, images',
    time: 'linear: every image is the same work; the update of the weights is a constant',
    bytes: 'linear: saved tensors for each image beside constant weights',
    bytesDegree: 1,
  },
  tokens: {
    unit: 'tokens N',
    time: 'linear in the linears, quadratic in attention',
    bytes: 'linear: attention is computed tile by tile and saves no N × N array',
    bytesDegree: 1,
  },
  width: {
    unit: 'width D',
    time: 'quadratic in the linears, linear in everything else',
    bytes: 'weights quadratic, saved tensors linear',
    bytesDegree: 2,
  },
  depth: {
    unit: 'depth L, blocks',
    time: 'linear: every block is the same work; embedding and classifier are a constant',
    bytes: 'linear: weights and saved tensors for each block',
    bytesDegree: 1,
  },
};

export interface AxisPoint {
  readonly axis: Axis;
  /** B, N, D or L. */
  readonly x: number;
  readonly case: GrowthCase;
}

/** All points, axis by axis; the base is one point of each. */
export function axisPoints(): readonly AxisPoint[] {
  return AXES.flatMap((axis) =>
    SIZES[axis].map((size) => {
      const name: keyof Sizes = axis === 'tokens' ? 'side' : axis;
      const { batch, side, width, depth }: Sizes = { ...BASE, [name]: size };
      const model: VitConfig = {
        family: 'vit',
        ...{ imageSize: side * PATCH, patch: PATCH, channels: 3 },
        ...{ width, depth, heads: width / HEAD, mlpRatio: 4, classes: 10 },
        ...{ pooling: 'token', classToken: true, layerNormEps: 1e-6 },
      };
      const x = axis === 'tokens' ? side ** 2 + 1 : size;
      return { axis, x, case: { model, batch } };
    }),
  );
}

/** wasi with the ranks of a typical spectrum: fixed shares of every extent, found without images. */
export const METHODS = ['full', 'wasi=0.7'] as const;
