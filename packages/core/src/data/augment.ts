/**
 * Random changes of training pictures: crop and resize, mirror, colour.
 *
 * All draws of a picture come from one stream, named by (seed, epoch, index of the picture), so
 * the result does not depend on the executor, the number of threads or the order of loading.
 *
 * The rules are torchvision's: RandomResizedCrop (ten tries for an area and an aspect ratio, then
 * the largest centred crop of an allowed ratio), ColorJitter on 8-bit levels (brightness,
 * contrast, saturation in random order; a blend is cut down to whole levels). Hue is not offered.
 */
import { UnknownNameError } from '../errors.js';
import { Random } from '../random.js';
import { cropped, type RawImage } from './image.js';
import type { Images } from './levels.js';
import { centreCrop, normalizeInto, type Preprocess } from './preprocess.js';
import { resize, type Rectangle } from './resample.js';

/** Closed interval. */
export type Interval = readonly [low: number, high: number];

/** How training images are varied. */
export interface Augment {
  /** Area and aspect ratio (width / height) of the crop; null for the centre crop of evaluation. */
  readonly crop: { readonly scale: Interval; readonly ratio: Interval } | null;
  /** Probability of mirroring left and right. */
  readonly flip: number;
  /** Factors are drawn from [max(0, 1 - x), 1 + x]; 0 leaves the picture alone. */
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
}

/** Name of a preset of `augments`. */
export type AugmentName = 'none' | 'flip' | 'light' | 'standard';

const still = { crop: null, flip: 0, brightness: 0, contrast: 0, saturation: 0 } as const;
const ratio: Interval = [3 / 4, 4 / 3];

/** Presets: `light` for small sets and short runs, `standard` for longer ones. */
export const augments: { readonly [N in AugmentName]: Augment } = {
  none: still,
  flip: { ...still, flip: 0.5 },
  light: { ...still, crop: { scale: [0.5, 1], ratio }, flip: 0.5 },
  standard: {
    crop: { scale: [0.25, 1], ratio },
    flip: 0.5,
    brightness: 0.3,
    contrast: 0.3,
    saturation: 0.3,
  },
};

/** The preset of this name. Throws UnknownNameError. */
export function augmentNamed(name: string): Augment {
  for (const [known, augment] of Object.entries(augments)) if (known === name) return augment;
  throw new UnknownNameError({
    where: 'augment',
    expected: `one of ${Object.keys(augments).join(', ')}`,
    got: `'${name}'`,
    todo: 'Choose one of the list',
  });
}

/** The stream that `augmentInto` should be given for one picture of one epoch. */
export function augmentRandom(seed: number, epoch: number, index: number): Random {
  return Random.of(seed, 'augment', epoch, index);
}

/**
 * One training picture: augmented, resized, normalised, written to out [3, size, size].
 *
 * @param random usually `augmentRandom(seed, epoch, index)`.
 */
export function augmentInto(
  image: RawImage,
  augment: Augment,
  preprocess: Preprocess,
  random: Random,
  out: Images,
): void {
  normalizeInto(augmented(image, augment, preprocess, random), preprocess, out);
}

/** The picture before normalisation, size × size. */
export function augmented(
  image: RawImage,
  augment: Augment,
  preprocess: Preprocess,
  random: Random,
): RawImage {
  const { size, filter } = preprocess;
  const { crop } = augment;
  const view =
    crop === null
      ? centreCrop(image, preprocess)
      : resize(
          cropped(image, randomCropBox(image.width, image.height, crop.scale, crop.ratio, random)),
          size,
          size,
          filter,
        );
  return varied(view, augment, random);
}

/** What follows the crop: the mirror, and colours. Without a random crop that is all that differs between epochs. */
export function varied(view: RawImage, augment: Augment, random: Random): RawImage {
  const { flip } = augment;
  const mirrored = flip > 0 && random.uniform() < flip ? mirror(view) : view;
  return colourJitter(mirrored, augment, random);
}

/**
 * Pixels of the shortest side from which on no crop of a picture is smaller than what it is resized to: beyond that
 * a picture may be reduced before it is cropped. A crop of the share s of the area with the aspect ratio r has sides of
 * √(s·r) and √(s/r) of the picture's, or the whole of the shorter one. null: the whole picture is looked at.
 */
export function leastSide({ crop }: Augment, { size }: Preprocess): number | null {
  if (crop === null) return null;
  const { scale, ratio: aspect } = crop;
  return Math.ceil(size / Math.sqrt(scale[0] * Math.min(aspect[0], 1 / aspect[1])));
}

/** The box of torchvision's RandomResizedCrop, in whole pixels. */
export function randomCropBox(
  width: number,
  height: number,
  scale: Interval,
  ratio: Interval,
  random: Random,
): Rectangle {
  const logRatio: Interval = [Math.log(ratio[0]), Math.log(ratio[1])];
  for (let tries = 0; tries < 10; tries++) {
    const area = width * height * random.between(scale[0], scale[1]);
    const aspect = Math.exp(random.between(logRatio[0], logRatio[1]));
    const w = Math.round(Math.sqrt(area * aspect));
    const h = Math.round(Math.sqrt(area / aspect));
    if (w >= 1 && w <= width && h >= 1 && h <= height) {
      const y = random.below(height - h + 1);
      const x = random.below(width - w + 1);
      return { x, y, width: w, height: h };
    }
  }
  const whole = width / height;
  const w = whole > ratio[1] ? Math.max(1, Math.round(height * ratio[1])) : width;
  const h = whole < ratio[0] ? Math.max(1, Math.round(width / ratio[0])) : height;
  return { x: (width - w) >> 1, y: (height - h) >> 1, width: w, height: h };
}

/** The picture with left and right exchanged. */
export function mirror(image: RawImage): RawImage {
  const { width, height, data } = image;
  const out = new Uint8ClampedArray(data.length);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = width - 1; x >= 0; x--) {
      const from = (y * width + x) * 3;
      out[to++] = data[from];
      out[to++] = data[from + 1];
      out[to++] = data[from + 2];
    }
  }
  return { width, height, channels: 3, data: out };
}

type Jitter = (data: Uint8ClampedArray, factor: number) => void;

/** Brightness, contrast and saturation, each by a random factor, in random order. */
function colourJitter(image: RawImage, augment: Augment, random: Random): RawImage {
  const steps: [Jitter, number][] = [];
  if (augment.brightness > 0) steps.push([adjustBrightness, augment.brightness]);
  if (augment.contrast > 0) steps.push([adjustContrast, augment.contrast]);
  if (augment.saturation > 0) steps.push([adjustSaturation, augment.saturation]);
  if (steps.length === 0) return image;
  const data = Uint8ClampedArray.from(image.data);
  for (const [adjust, strength] of random.shuffle(steps)) {
    adjust(data, random.between(Math.max(0, 1 - strength), 1 + strength));
  }
  return { ...image, data };
}

/** Levels times the factor; in place, as the two below. */
export function adjustBrightness(data: Uint8ClampedArray, factor: number): void {
  mapLevels(data, (level) => level * factor);
}

/** Away from (factor > 1) or towards the mean grey of the picture. */
export function adjustContrast(data: Uint8ClampedArray, factor: number): void {
  let sum = 0;
  for (let i = 0; i < data.length; i += 3) sum += grey(data, i);
  const base = (1 - factor) * ((3 * sum) / data.length);
  mapLevels(data, (level) => level * factor + base);
}

/** Away from (factor > 1) or towards the grey of each pixel. */
export function adjustSaturation(data: Uint8ClampedArray, factor: number): void {
  for (let i = 0; i < data.length; i += 3) {
    const base = (1 - factor) * grey(data, i);
    for (let c = i; c < i + 3; c++) data[c] = Math.trunc(data[c] * factor + base);
  }
}

/** Replaces every level by a function of it, cut to whole levels and clipped. */
function mapLevels(data: Uint8ClampedArray, map: (level: number) => number): void {
  const table = Uint8ClampedArray.from({ length: 256 }, (_, level) => Math.trunc(map(level)));
  for (let i = 0; i < data.length; i++) data[i] = table[data[i]];
}

/** torchvision's grey level of the pixel at i. */
function grey(data: Uint8ClampedArray, i: number): number {
  return Math.trunc(0.2989 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
}
