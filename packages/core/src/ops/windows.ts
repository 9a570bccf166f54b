/**
 * Images to windows and back: tokens of an image [B, H, W, C] in windows of w × w, after a cyclic shift.
 * Shifted-window attention works on them; patch merging is 2 × 2 windows read column by column.
 *
 * Reference: Liu et al., "Swin Transformer", 2021 (arXiv:2103.14030), section 3.2.
 */
import { f32, type TensorType } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectInteger, expectType, lastOf } from './shapes.js';

export type WindowsParams = {
  /** Side w of a window in tokens; divides height and width. */
  readonly window: number;
  /** Rows and columns by which the image is shifted up and left, round its edges; below w. */
  readonly shift: number;
  /** Tokens of a window column by column instead of row by row. */
  readonly columnMajor: boolean;
  /** False: image to windows. True: windows to image. */
  readonly inverse: boolean;
  /** The image in tokens, in both directions. */
  readonly height: number;
  readonly width: number;
};

/**
 * y[(b·H/w + r/w)·W/w + s/w, (r mod w)·w + s mod w, c] = x[b, (r + shift) mod H, (s + shift) mod W, c],
 * or its inverse, plus the residual; [B, H, W, C] ↔ [B·HW/w², w², C].
 */
export const windows: Op<WindowsParams, 'x', 'residual', 'y', never> = {
  name: 'windows',
  summary: 'y = x [B, H, W, C], shifted, in windows [B·HW/w², w², C], or its inverse, + residual',
  inputs: ['x', 'residual?'],
  outputs: ['y'],
  params: {
    window: 'whole',
    shift: 'whole',
    columnMajor: 'truth',
    inverse: 'truth',
    height: 'whole',
    width: 'whole',
  },
  infer: ({ x, residual }, params, at) => {
    expectForm(at, 'x', x, params.inverse ? 'f32[B·HW/w²,w²,C]' : 'f32[B,H,W,C]');
    const { window, shift, height, width } = params;
    for (const key of ['window', 'height', 'width'] as const) {
      expectInteger(at, key, params[key], 1);
    }
    expectInteger(at, 'shift', shift, 0);
    expectShape(
      height % window === 0 && width % window === 0 && shift < window,
      at,
      `an image that windows of side ${String(window)} tile exactly, shifted by less`,
      `height ${String(height)}, width ${String(width)}, shift ${String(shift)}`,
    );
    const { image, cut } = bothTypes(x, params);
    expectType(at, 'x', x, params.inverse ? cut : image);
    const y = params.inverse ? image : cut;
    if (residual) expectType(at, 'residual', residual, y);
    return { y };
  },
  grad: ({ emitter, inputs, outputGrads, params, needs }) => {
    const { y: dy } = outputGrads;
    if (!dy) return {};
    const back = { ...params, inverse: !params.inverse };
    return {
      ...(needs('x') && { x: emitter.emit(windows, { x: dy }, back).y }),
      ...(inputs.residual && needs('residual') && { residual: dy }),
    };
  },
  flops: ({ x, residual }) =>
    residual ? x.shape.reduce((product, extent) => product * extent) : 0,
  recompute: 'cheap',
  reference: ({ x, residual }, { y }, types, params) => {
    const { window, shift, height, width, inverse } = params;
    const channels = lastOf(types.x.shape);
    const { image } = bothTypes(types.x, params);
    for (let pixel = 0; pixel < image.shape[0] * height * width; pixel++) {
      const s = pixel % width;
      const r = Math.floor(pixel / width) % height;
      const b = Math.floor(pixel / (width * height));
      const whole = (b * height + ((r + shift) % height)) * width + ((s + shift) % width);
      const down = Math.floor(r / window);
      const across = Math.floor(s / window);
      const index = ((b * height) / window + down) * (width / window) + across;
      const [major, minor] = params.columnMajor ? [s, r] : [r, s];
      const token = (index * window + (major % window)) * window + (minor % window);
      const [from, to] = inverse ? [token, whole] : [whole, token];
      for (let c = 0; c < channels; c++) {
        const past = residual ? residual[to * channels + c] : 0;
        y[to * channels + c] = x[from * channels + c] + past;
      }
    }
  },
  residual: 'y',
  inPlace: [['y', 'residual']],
  scalars: {
    batch: 'int',
    height: 'int',
    width: 'int',
    channels: 'int',
    window: 'int',
    shift: 'int',
    columnMajor: 'int',
    inverse: 'int',
  },
  encode: ({ x }, params) => {
    const { window, shift, columnMajor, inverse, height, width } = params;
    return {
      batch: bothTypes(x, params).image.shape[0],
      height,
      width,
      channels: lastOf(x.shape),
      window,
      shift,
      columnMajor: Number(columnMajor),
      inverse: Number(inverse),
    };
  },
  samples: [
    sample('plain', [2, 4, 6, 5], { window: 2 }),
    sample('plain, inverse', [2, 4, 6, 5], { window: 2, inverse: true }),
    sample('shifted', [2, 9, 6, 19], { window: 3, shift: 2 }),
    sample('shifted, inverse', [1, 6, 9, 19], { window: 3, shift: 1, inverse: true }),
    sample(
      'shifted, inverse, residual',
      [2, 4, 4, 33],
      { window: 4, shift: 3, inverse: true },
      true,
    ),
    sample('residual', [1, 3, 6, 7], { window: 3, shift: 1 }, true),
    sample('column by column', [2, 4, 6, 3], { window: 2, columnMajor: true }),
    sample('columns, shifted, inverse', [1, 6, 3, 5], {
      window: 3,
      shift: 2,
      columnMajor: true,
      inverse: true,
    }),
    sample('windows of one token', [1, 2, 3, 4], { window: 1 }),
  ],
};

function bothTypes(
  x: TensorType,
  { window, inverse, height, width }: WindowsParams,
): { readonly image: TensorType; readonly cut: TensorType } {
  const count = (height / window) * (width / window);
  const batch = inverse ? Math.floor(x.shape[0] / count) : x.shape[0];
  const channels = lastOf(x.shape);
  return {
    image: f32(batch, height, width, channels),
    cut: f32(batch * count, window * window, channels),
  };
}

function sample(
  title: string,
  [batch, height, width, channels]: readonly number[],
  options: Partial<WindowsParams> & { readonly window: number },
  residual = false,
) {
  const plain = { shift: 0, columnMajor: false, inverse: false, height, width };
  const params = { ...plain, ...options };
  const image = { type: f32(batch, height, width, channels) };
  const { cut } = bothTypes(image.type, { ...params, inverse: false });
  const [x, y] = params.inverse ? [{ type: cut }, image] : [image, { type: cut }];
  return { title, params, inputs: { x, ...(residual && { residual: y }) } };
}
