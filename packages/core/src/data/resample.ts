/**
 * Antialiased resizing of 8-bit pictures, the same numbers as Pillow's `Image.resize`.
 *
 * Pre-trained models were trained and evaluated on pictures resized by Pillow, and a resampler
 * with other rules (sharp's, the canvas's) moves their features. So this is Pillow's algorithm
 * step by step: the filter is widened by the reduction factor; weights are normalised, then
 * rounded to 22-bit fixed point; rows first, result rounded and clipped to 8 bits, then columns,
 * rounded and clipped again.
 *
 * Terms: output pixel x covers the input around centre = left + (x + 1/2) · scale; its taps are
 * the input pixels within support · max(scale, 1) of the centre, cut at the edges of the picture.
 *
 * Source: Pillow, src/libImaging/Resample.c (and Geometry.c for nearest); reference/resample.py
 * writes the fixture that the test compares with.
 */
import { ConfigError } from '../errors.js';
import type { RawImage } from './image.js';

/** In the order of Pillow's numbers of them, from 0. */
export const RESAMPLE_FILTERS = [
  'nearest',
  'lanczos',
  'bilinear',
  'bicubic',
  'box',
  'hamming',
] as const;

/** How pixels are weighted where a picture changes its size. */
export type ResampleFilter = (typeof RESAMPLE_FILTERS)[number];

/** A rectangle in pixels; only an input box may have fractional numbers. */
export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Which part of a picture is resized, and which part of the result is wanted. */
export interface ResizeOptions {
  /** The part of the input that becomes the output; the whole picture by default. */
  readonly box?: Rectangle;
  /**
   * The part of the output to compute; all of it by default. Equal to cropping afterwards, but
   * cheaper.
   */
  readonly window?: Rectangle;
}

/**
 * Resizes a picture to width × height, or to `options.window` of that.
 *
 * @param image 8-bit RGB of any size. Throws ConfigError for sizes and rectangles that make no
 * sense.
 * Reference: Pillow `Image.resize(size, resample, box)`.
 */
export function resize(
  image: RawImage,
  width: number,
  height: number,
  filter: ResampleFilter,
  options: ResizeOptions = {},
): RawImage {
  const box = options.box ?? { x: 0, y: 0, width: image.width, height: image.height };
  const window = options.window ?? { x: 0, y: 0, width, height };
  requireInside('resize box', box, image.width, image.height);
  requireInside('resize window', window, width, height);
  if (filter === 'nearest') return pickNearest(image, width, height, box, window);

  const across = axisTaps(image.width, box.x, box.width, width, window.x, window.width, filter);
  const down = axisTaps(image.height, box.y, box.height, height, window.y, window.height, filter);
  const rows = resizeRows(image, across, down.first, down.end);
  return resizeColumns(rows, window.width, down);
}

interface Filter {
  /**
   * Half the width of the filter, in output pixels when reducing and input pixels when enlarging.
   */
  readonly support: number;
  readonly weight: (x: number) => number;
}

const filters: { readonly [F in Exclude<ResampleFilter, 'nearest'>]: Filter } = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: { support: 1, weight: (x) => hamming(Math.abs(x)) },
  bicubic: { support: 2, weight: (x) => cubic(Math.abs(x)) },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** Keys' cubic convolution with a = -1/2. */
function cubic(x: number): number {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

function hamming(x: number): number {
  if (x >= 1) return 0;
  return sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x));
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

const FRACTION_BITS = 22; // of a weight: 32 bits less 8 for the level and 2 for overshoot

/** The weights of a run of output positions along one axis. */
interface AxisTaps {
  /** Input positions [first, end) that any of the outputs reads. */
  readonly first: number;
  readonly end: number;
  readonly count: number; // outputs
  readonly stride: number; // weights reserved per output
  readonly starts: Int32Array; // [count] first input position of each output
  readonly lengths: Int32Array; // [count] number of taps
  readonly weights: Int32Array; // [count, stride] fixed point
}

function axisTaps(
  inputSize: number,
  boxStart: number,
  boxSize: number,
  outputSize: number,
  windowStart: number,
  count: number,
  name: Exclude<ResampleFilter, 'nearest'>,
): AxisTaps {
  const filter = filters[name];
  const scale = boxSize / outputSize;
  const widening = Math.max(scale, 1);
  const support = filter.support * widening;
  const stride = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(count);
  const lengths = new Int32Array(count);
  const weights = new Int32Array(count * stride);
  const exact = new Float64Array(stride);
  for (let i = 0; i < count; i++) {
    const centre = boxStart + (windowStart + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const length = Math.min(inputSize, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let tap = 0; tap < length; tap++) {
      exact[tap] = filter.weight((start + tap - centre + 0.5) / widening);
      sum += exact[tap];
    }
    for (let tap = 0; tap < length; tap++) {
      const weight = (sum === 0 ? exact[tap] : exact[tap] / sum) * (1 << FRACTION_BITS);
      weights[i * stride + tap] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    starts[i] = start;
    lengths[i] = length;
  }
  const end = starts[count - 1] + lengths[count - 1];
  return { first: starts[0], end, count, stride, starts, lengths, weights };
}

/** The horizontal pass over input rows [firstRow, endRow): [rows, taps.count, 3]. */
function resizeRows(
  image: RawImage,
  taps: AxisTaps,
  firstRow: number,
  endRow: number,
): Uint8ClampedArray {
  const { data, width } = image;
  const { count, stride, starts, lengths, weights } = taps;
  const out = new Uint8ClampedArray((endRow - firstRow) * count * 3);
  let to = 0;
  for (let y = firstRow; y < endRow; y++) {
    for (let i = 0; i < count; i++) {
      let from = (y * width + starts[i]) * 3;
      let red = 1 << (FRACTION_BITS - 1);
      let green = red;
      let blue = red;
      const end = i * stride + lengths[i];
      for (let tap = i * stride; tap < end; tap++, from += 3) {
        const weight = weights[tap];
        red += data[from] * weight;
        green += data[from + 1] * weight;
        blue += data[from + 2] * weight;
      }
      out[to++] = red >> FRACTION_BITS; // the clamped array clips
      out[to++] = green >> FRACTION_BITS;
      out[to++] = blue >> FRACTION_BITS;
    }
  }
  return out;
}

/** The vertical pass; `rows` starts at input row taps.first. */
function resizeColumns(rows: Uint8ClampedArray, width: number, taps: AxisTaps): RawImage {
  const { count, stride, starts, lengths, weights, first } = taps;
  const pitch = width * 3;
  const out = new Uint8ClampedArray(count * pitch);
  const sums = new Int32Array(pitch);
  for (let i = 0; i < count; i++) {
    sums.fill(1 << (FRACTION_BITS - 1));
    for (let tap = 0; tap < lengths[i]; tap++) {
      const weight = weights[i * stride + tap];
      const from = (starts[i] + tap - first) * pitch;
      for (let x = 0; x < pitch; x++) sums[x] += rows[from + x] * weight;
    }
    for (let x = 0; x < pitch; x++) out[i * pitch + x] = sums[x] >> FRACTION_BITS;
  }
  return { width, height: count, channels: 3, data: out };
}

function pickNearest(
  image: RawImage,
  width: number,
  height: number,
  box: Rectangle,
  window: Rectangle,
): RawImage {
  const across = nearestPositions(box.x, box.width / width, window.x, window.width, image.width);
  const down = nearestPositions(box.y, box.height / height, window.y, window.height, image.height);
  const out = new Uint8ClampedArray(window.width * window.height * 3);
  let to = 0;
  for (const y of down) {
    for (const x of across) {
      const from = (y * image.width + x) * 3;
      out[to++] = image.data[from];
      out[to++] = image.data[from + 1];
      out[to++] = image.data[from + 2];
    }
  }
  return { width: window.width, height: window.height, channels: 3, data: out };
}

/** Pillow adds the scale again and again; so does this, for the same rounding. */
function nearestPositions(
  start: number,
  scale: number,
  skip: number,
  count: number,
  size: number,
): Int32Array {
  const positions = new Int32Array(count);
  let at = start + scale * 0.5;
  for (let i = 0; i < skip; i++) at += scale;
  for (let i = 0; i < count; i++, at += scale) positions[i] = Math.min(size - 1, Math.trunc(at));
  return positions;
}

function requireInside(where: string, part: Rectangle, width: number, height: number): void {
  const { x, y } = part;
  const fits = x >= 0 && y >= 0 && x + part.width <= width && y + part.height <= height;
  if (fits && part.width > 0 && part.height > 0) return;
  throw new ConfigError({
    where,
    expected: `a rectangle inside ${width} × ${height}`,
    got: `${part.width} × ${part.height} at (${x}, ${y})`,
    todo: 'Clip the rectangle to the picture first',
  });
}
