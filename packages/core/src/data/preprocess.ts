/**
 * The way from a picture to the numbers a model reads, without randomness: what evaluation and
 * prediction use, and the frame (size, filter, mean, std) that augmentation shares.
 *
 * As timm and the image processors of Hugging Face do it: shortest edge to floor(size /
 * cropPercentage), the longer one in proportion (rounded down), the size × size in the middle,
 * levels / 255, minus mean, divided by standard deviation. `resize: 'squash'` is the
 * ViTImageProcessor's way: both edges to `size`. `edge` says in pixels what is resized to before the
 * crop, for processors that do (256 → 224), and `offset` how the crop is centred: timm to the even side, the
 * image processors down.
 */
import { ConfigError } from '../errors.js';
import {
  list,
  number,
  objectOf,
  oneOf,
  optional,
  readValue,
  refined,
  whole,
  type Reader,
} from '../schema/index.js';
import type { RawImage } from './image.js';
import { levelsInto, type Images } from './levels.js';
import { RESAMPLE_FILTERS, resize, type ResampleFilter } from './resample.js';

/** A number for each channel. */
export type Triple = readonly [red: number, green: number, blue: number];

/** From a picture to the numbers that a model takes. */
export interface Preprocess {
  /** Width and height that the model reads, in pixels. */
  readonly size: number;
  /** How much of the shortest edge the crop keeps, in (0, 1]. */
  readonly cropPercentage: number;
  readonly resize: 'shortest-edge' | 'squash';
  /**
   * Pixels of the shortest edge (squash: of both) before the crop, ≥ size; default
   * floor(size / cropPercentage), for squash `size`.
   */
  readonly edge?: number;
  /** Where half a pixel goes in centring the crop: to the even side (default, torchvision) or down. */
  readonly offset?: 'even' | 'down';
  readonly filter: ResampleFilter;
  /** Per channel, in units of level / 255. */
  readonly mean: Triple;
  readonly std: Triple;
}

/** The defaults of timm's `vit_*_patch16_224.augreg*`: mean and standard deviation 1/2. */
export const defaultPreprocess: Preprocess = {
  size: 224,
  cropPercentage: 0.9,
  resize: 'shortest-edge',
  filter: 'bicubic',
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.5, 0.5],
};

/** Mean and standard deviation of ImageNet's training set, which many other models expect. */
export const imagenetMean: Triple = [0.485, 0.456, 0.406];
/** Standard deviation of ImageNet’s training set. */
export const imagenetStd: Triple = [0.229, 0.224, 0.225];

/** Pixels of a model's images; more is a damaged file. */
const MAX_SIZE = 8192;
/** How many times as long as what is cropped from it an edge may be. */
const MAX_EDGE = 100;
/** With these the 256 levels stay apart in float32, and finite. */
const MEAN = number({ least: -1000, most: 1000 });
const STD = number({ least: 1e-6, most: 1e6 });

/** Preprocessing that makes finite numbers of every picture. */
export const preprocessReader: Reader<Preprocess> = refined(
  objectOf<Preprocess>({
    size: whole({ most: MAX_SIZE }),
    cropPercentage: number({ least: 1 / MAX_EDGE, most: 1 }),
    resize: oneOf('squash', 'shortest-edge'),
    edge: optional(whole({ most: MAX_EDGE * MAX_SIZE })),
    offset: optional(oneOf('even', 'down')),
    filter: oneOf(...RESAMPLE_FILTERS),
    mean: triple(MEAN),
    std: triple(STD),
  }),
  ({ size, edge = size }, place) => {
    const [least, most] = [size, MAX_EDGE * size].map(String);
    if (edge < size || edge > MAX_EDGE * size) {
      throw place.at('edge').error(`a whole number from ${least} to ${most}`, String(edge));
    }
  },
);

/** Three numbers, a channel each. */
function triple(channel: Reader<number>): Reader<Triple> {
  const three = list(channel, { least: 3, most: 3 });
  return (value, place) => {
    const [red, green, blue] = three(value, place);
    return [red, green, blue];
  };
}

/**
 * Throws ConfigError, naming the field, when a setting is outside its domain; returns its
 * argument.
 */
export function checkPreprocess(preprocess: Preprocess): Preprocess {
  readValue(preprocess, preprocessReader, PREPROCESS);
  return preprocess;
}

const PREPROCESS = { file: 'preprocess', error: ConfigError, todo: 'Correct the setting' };

/** `preprocess` for a model that reads another size: the same part of the picture. */
export function withSize(preprocess: Preprocess, size: number): Preprocess {
  const { edge, size: before, ...rest } = preprocess;
  if (size === before || edge === undefined) return { ...preprocess, size };
  return { ...rest, size, edge: Math.round((edge * size) / before) };
}

/**
 * Resize, crop, normalise: one picture into [3, size, size] numbers.
 *
 * @param out where to write, exactly 3 · size² numbers (a slice of the batch).
 */
export function preprocessInto(image: RawImage, preprocess: Preprocess, out: Images): void {
  normalizeInto(centreCrop(image, preprocess), preprocess, out);
}

/** Pixels of the shortest edge (squash: of both edges) before the crop. */
export function resizedEdge({ size, cropPercentage, resize, edge }: Preprocess): number {
  return edge ?? (resize === 'squash' ? size : Math.floor(size / cropPercentage));
}

/**
 * `preprocess` with its crop centred as the image processors of transformers and transformers.js do it, which
 * know no other way: half a pixel goes down. Of pictures that are not square, any crop may have one.
 */
export function centredDown(preprocess: Preprocess): Preprocess {
  const isCropped =
    preprocess.resize === 'shortest-edge' || resizedEdge(preprocess) > preprocess.size;
  return isCropped ? { ...preprocess, offset: 'down' } : preprocess;
}

/** How a picture is cut: resized to width × height, of which the size × size from (x, y) on are kept. */
export interface Cut {
  readonly width: number;
  readonly height: number;
  readonly x: number;
  readonly y: number;
}

/** The cut of a picture of this width and height, in pixels. */
export function cutOf(
  picture: { readonly width: number; readonly height: number },
  preprocess: Preprocess,
): Cut {
  const { size, offset = 'even' } = preprocess;
  const edge = resizedEdge(preprocess);
  const shortest = Math.min(picture.width, picture.height);
  const resized = (side: number) =>
    preprocess.resize === 'squash' ? edge : Math.trunc((edge * side) / shortest);
  const [width, height] = [resized(picture.width), resized(picture.height)];
  const centred = offset === 'down' ? Math.floor : roundHalfEven;
  return { width, height, x: centred((width - size) / 2), y: centred((height - size) / 2) };
}

/** The size × size picture that evaluation sees, before normalisation. */
export function centreCrop(image: RawImage, preprocess: Preprocess): RawImage {
  const { size, filter } = preprocess;
  const { width, height, x, y } = cutOf(image, preprocess);
  return resize(image, width, height, filter, { window: { x, y, width: size, height: size } });
}

/**
 * Levels to numbers: out[c, y, x] = (level / 255 - mean[c]) / std[c]; of an Int8Array the levels themselves,
 * less 128, for a model that normalises its images itself.
 *
 * @param image size × size; @param out [3, size, size].
 */
export function normalizeInto(image: RawImage, preprocess: Preprocess, out: Images): void {
  const { mean, std, size } = preprocess;
  const pixels = image.width * image.height;
  if (image.width !== size || image.height !== size || out.length !== pixels * 3) {
    throw new ConfigError({
      where: 'normalizeInto',
      expected: `a picture of ${size} × ${size} and ${3 * size * size} numbers to write`,
      got: `${image.width} × ${image.height} and ${out.length} numbers`,
      todo: 'Resize first and pass the slice of one picture',
    });
  }
  if (out instanceof Int8Array) {
    levelsInto(image, out);
    return;
  }
  for (let c = 0; c < 3; c++) {
    const scale = 1 / (255 * std[c]);
    const shift = -mean[c] / std[c];
    for (let i = 0; i < pixels; i++) out[c * pixels + i] = image.data[i * 3 + c] * scale + shift;
  }
}

/** Python's round(), which torchvision's CenterCrop uses: halves go to the even neighbour. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
