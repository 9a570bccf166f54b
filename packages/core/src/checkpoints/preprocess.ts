/**
 * How pictures become numbers, as the files beside a checkpoint say it: preprocessor_config.json of
 * transformers, pretrained_cfg in timm's config.json, Thimble's metadata `preprocess`, and plain words in the
 * metadata of a bare file.
 *
 * (level · f − mean)/std with a rescale factor f other than 1/255 is folded into mean and std:
 * mean/(255 f) and std/(255 f) of level/255. A picture that transformers does not resize (`do_resize`
 * false) has to have the size already; resizing it to that size changes nothing.
 *
 * Sources: transformers.image_processing_backends and models.{vit,deit,bit,convnext}.image_processing_*;
 * timm.data.transforms_factory.transforms_imagenet_eval; reference/preprocess_fixture.py compares.
 */
import {
  checkPreprocess,
  defaultPreprocess,
  imagenetMean,
  imagenetStd,
  resizedEdge,
  withSize,
  type Preprocess,
  type Triple,
} from '../data/preprocess.js';
import type { ResampleFilter } from '../data/resample.js';
import { CheckpointError, ConfigError } from '../errors.js';
import type { ModelConfig } from '../models/index.js';
import * as json from './json.js';
import type { NamingName, Sidecars } from './types.js';

/** Pillow's numbers of its filters. */
const RESAMPLE: readonly ResampleFilter[] = [
  'nearest',
  'lanczos',
  'bilinear',
  'bicubic',
  'box',
  'hamming',
];

/**
 * What the files beside a checkpoint say; null where they say nothing.
 *
 * @param size of another image size, at which the same part of the picture is seen
 * Throws CheckpointError for values that make no sense or that Thimble cannot do.
 */
export function parsePreprocess(sidecars: Sidecars, size?: number): Preprocess | null {
  const { preprocessor, config } = sidecars;
  const parsed =
    preprocessor === null || preprocessor === undefined
      ? timmPreprocess(config)
      : huggingFacePreprocess(preprocessor, config);
  if (parsed === null) return null;
  return checked(size === undefined ? parsed : withSize(parsed, size));
}

/**
 * What plain words in a file's metadata say: `mean` and `std` as three numbers with commas, `crop_pct`,
 * `interpolation`. Bare files are described so; null where mean or std is no such list.
 */
export function writtenPreprocess(
  metadata: ReadonlyMap<string, string>,
  size: number,
): Preprocess | null {
  const [mean, std] = ['mean', 'std'].map((key) => metadata.get(key)?.split(',').map(Number));
  if (mean?.length !== 3 || std?.length !== 3) return null;
  if (![...mean, ...std].every(Number.isFinite)) return null;
  const crop = Number(metadata.get('crop_pct') ?? NaN);
  const interpolation = metadata.get('interpolation');
  const cfg = {
    ...{ mean, std, input_size: size },
    ...(crop > 0 && { crop_pct: crop }),
    ...(interpolation !== undefined && { interpolation }),
  };
  return parsePreprocess({ config: { pretrained_cfg: cfg }, preprocessor: null });
}

/** What Thimble's metadata `preprocess` says; null without it. */
export function storedPreprocess(metadata: ReadonlyMap<string, string>): Preprocess | null {
  const where = 'metadata preprocess';
  const stored = json.parseJson(metadata.get('preprocess'), where);
  if (stored === undefined) return null;
  const get = (key: string) => json.field(stored, key);
  const at = (key: string) => `${where}, ${key}`;
  const filter = get('filter');
  const resize = get('resize');
  const edge = json.wholeNumber(get('edge'), at('edge'));
  const isFilter = (value: unknown) => RESAMPLE.some((name) => name === value);
  if (!isFilter(filter)) throw json.invalid(at('filter'), RESAMPLE.join(', '), filter);
  if (resize !== 'squash' && resize !== 'shortest-edge') {
    throw json.invalid(at('resize'), 'squash or shortest-edge', resize);
  }
  return checked({
    size: json.wholeNumber(get('size'), at('size')) ?? 0,
    cropPercentage: json.positiveNumber(get('cropPercentage'), at('cropPercentage')) ?? 0,
    resize,
    ...(edge !== undefined && { edge }),
    ...(get('offset') === 'down' && { offset: 'down' }),
    filter: RESAMPLE.find((name) => name === filter) ?? 'bicubic',
    mean: triple(get('mean'), at('mean')) ?? HALF,
    std: triple(get('std'), at('std')) ?? HALF,
  });
}

/**
 * What a family was trained with, for checkpoints of which nothing says it: timm's ViT as augreg (mean and
 * std 1/2, crop 0.9), its DeiT and Swin with ImageNet's mean and std; the image processors of transformers;
 * the weights of torchvision (256 → 224, Swin 232 → 224).
 */
export function familyPreprocess(naming: NamingName, config: ModelConfig): Preprocess {
  const { imageSize: size } = config;
  const imagenet = { mean: imagenetMean, std: imagenetStd };
  const isSwin = config.family === 'swin';
  const base = { ...defaultPreprocess, size };
  if (naming === 'hugging-face') {
    return {
      ...base,
      resize: 'squash',
      filter: isSwin ? 'bicubic' : 'bilinear',
      cropPercentage: 1,
    };
  }
  if (naming === 'torchvision') {
    const edge = Math.floor((size * (isSwin ? 232 : 256)) / 224);
    const filter = isSwin ? 'bicubic' : 'bilinear';
    return { ...base, ...imagenet, cropPercentage: size / edge, edge, filter };
  }
  return isSwin || config.distilled === true ? { ...base, ...imagenet } : base;
}

const HALF: Triple = [0.5, 0.5, 0.5];

/** What an image processor does where its file is silent. */
interface ProcessorDefaults {
  /** What a size without keys means. */
  readonly size: 'square' | 'shortest_edge';
  readonly crop: boolean;
  readonly resample: number;
  readonly mean: Triple;
  readonly std: Triple;
}

const SQUARE: ProcessorDefaults = {
  size: 'square',
  crop: false,
  resample: 2,
  mean: HALF,
  std: HALF,
};
const CLIP_MEAN: Triple = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD: Triple = [0.26862954, 0.26130258, 0.27577711];
const CLIP: ProcessorDefaults = {
  size: 'shortest_edge',
  crop: true,
  resample: 3,
  mean: CLIP_MEAN,
  std: CLIP_STD,
};

/** By the name of the class, without ImageProcessor, FeatureExtractor, Fast. */
const PROCESSORS: Readonly<Record<string, ProcessorDefaults>> = {
  ViT: SQUARE,
  DeiT: { ...SQUARE, crop: true, resample: 3 },
  Bit: CLIP,
  CLIP,
  ConvNext: { ...SQUARE, size: 'shortest_edge' },
};

function huggingFacePreprocess(file: unknown, config: unknown): Preprocess | null {
  const where = 'preprocessor_config.json';
  if (!json.isObject(file)) throw json.invalid(where, 'an object', file);
  const at = (key: string) => `${where}, ${key}`;
  const on = (key: string) => json.truth(file[key], at(key));
  const type = json.text(file.image_processor_type ?? file.feature_extractor_type, at('type'));
  if (type === 'TimmWrapperImageProcessor') return timmPreprocess(file);
  const usual = json.field(config, 'model_type') === 'deit' ? 'DeiT' : 'ViT';
  const name = (type ?? usual).replace(/(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/, '');
  if (!Object.hasOwn(PROCESSORS, name)) {
    throw unable(at('image_processor_type'), Object.keys(PROCESSORS).join(', '), type ?? '');
  }
  const defaults = PROCESSORS[name];
  if (on('do_pad') === true) throw unable(at('do_pad'), 'false', 'true');
  const index = file.resample ?? defaults.resample;
  const filter = RESAMPLE.find((_, number) => number === index);
  if (!filter) throw json.invalid(at('resample'), 'a whole number from 0 to 5', index);
  const factor = json.positiveNumber(file.rescale_factor, at('rescale_factor')) ?? 1 / 255;
  const scale =
    on('do_rescale') === false ? 255 : Math.abs(255 * factor - 1) < 1e-9 ? 1 : 255 * factor;
  const isNormalised = on('do_normalize') ?? true;
  const mean = isNormalised
    ? (triple(file.image_mean, at('image_mean')) ?? defaults.mean)
    : [0, 0, 0];
  const std = isNormalised ? (triple(file.image_std, at('image_std')) ?? defaults.std) : [1, 1, 1];
  return {
    ...(name === 'ConvNext' ? convNextFrame(file, at) : frame(file, at, defaults)),
    filter,
    mean: [mean[0] / scale, mean[1] / scale, mean[2] / scale],
    std: [std[0] / scale, std[1] / scale, std[2] / scale],
  };
}

type Frame = Pick<Preprocess, 'size' | 'cropPercentage' | 'resize' | 'edge' | 'offset'>;
type At = (key: string) => string;
type Json = Readonly<Record<string, unknown>>;

/** What is resized to, and what is cropped from it. */
function frame(file: Json, at: At, defaults: ProcessorDefaults): Frame {
  const resized = edgeOf(file.size ?? 224, at, defaults.size);
  const isCropped = json.truth(file.do_center_crop, at('do_center_crop')) ?? defaults.crop;
  const isResized = json.truth(file.do_resize, at('do_resize')) ?? true;
  const crop = isCropped ? squareOf(file.crop_size ?? 224, at('crop_size')) : undefined;
  if (!isResized && crop !== undefined) {
    throw unable(at('do_resize'), 'true before a crop', 'false');
  }
  if (crop === undefined) {
    if (resized.resize === 'squash') return squash(resized.edge);
    throw unable(at('size'), 'a square, or a crop after resizing', JSON.stringify(file.size));
  }
  const { edge, resize } = resized;
  if (crop > edge) {
    throw unable(at('crop_size'), `at most the size ${String(edge)}`, String(crop));
  }
  if (resize === 'squash' && crop === edge) return squash(edge);
  return { size: crop, cropPercentage: crop / edge, resize, edge, offset: 'down' };
}

/** Below 384 pixels a crop of the part `crop_pct`, from there on the whole picture. */
function convNextFrame(file: Json, at: At): Frame {
  const { edge: size } = edgeOf(file.size ?? 224, at, 'shortest_edge');
  const part = json.positiveNumber(file.crop_pct, at('crop_pct')) ?? 224 / 256;
  if (size >= 384) return squash(size);
  const edge = Math.trunc(size / part);
  return { size, cropPercentage: part, resize: 'shortest-edge', edge, offset: 'down' };
}

function squash(size: number): Frame {
  return { size, cropPercentage: 1, resize: 'squash' };
}

function edgeOf(
  size: unknown,
  at: At,
  bare: ProcessorDefaults['size'],
): { readonly edge: number; readonly resize: Preprocess['resize'] } {
  if (!json.isObject(size)) {
    const edge = json.side(size, at('size')) ?? 0;
    return { edge, resize: bare === 'square' ? 'squash' : 'shortest-edge' };
  }
  if ('shortest_edge' in size && !('longest_edge' in size)) {
    const edge = json.wholeNumber(size.shortest_edge, at('size.shortest_edge')) ?? 0;
    return { edge, resize: 'shortest-edge' };
  }
  return { edge: squareOf(size, at('size')), resize: 'squash' };
}

/** 224, [224, 224] or { height: 224, width: 224 }. */
function squareOf(size: unknown, where: string): number {
  const square = json.isObject(size) ? [size.height ?? null, size.width ?? null] : size;
  return json.side(square, where) ?? 0;
}

/** pretrained_cfg, or the fields of old files, which had them at the top. */
function timmPreprocess(config: unknown): Preprocess | null {
  const nested = json.field(config, 'pretrained_cfg');
  const cfg = json.isObject(nested) ? nested : json.isObject(config) ? config : {};
  const keys = ['input_size', 'crop_pct', 'interpolation', 'mean', 'std'];
  if (!keys.some((key) => key in cfg)) return null;
  const at = (key: string) => `config.json, ${key}`;
  const mode = json.text(cfg.crop_mode, at('crop_mode')) ?? 'center';
  if (mode !== 'center' && mode !== 'squash')
    throw unable(at('crop_mode'), 'center or squash', mode);
  const interpolation = json.text(cfg.interpolation, at('interpolation')) ?? 'bicubic';
  const filter = RESAMPLE.find((name) => name === interpolation);
  if (!filter) throw unable(at('interpolation'), RESAMPLE.join(', '), interpolation);
  const size = json.side(cfg.input_size, at('input_size')) ?? 224;
  const cropPercentage = json.positiveNumber(cfg.crop_pct, at('crop_pct')) ?? 0.875;
  const edge = Math.floor(size / cropPercentage);
  const shared = { size, cropPercentage, filter };
  return {
    ...shared,
    resize: mode === 'center' ? 'shortest-edge' : 'squash',
    ...(mode === 'squash' && edge !== size && { edge }),
    mean: triple(cfg.mean, at('mean')) ?? imagenetMean,
    std: triple(cfg.std, at('std')) ?? imagenetStd,
  };
}

/** Three numbers, or one for all channels. */
function triple(value: unknown, where: string): Triple | undefined {
  if (typeof value === 'number' && Number.isFinite(value)) return [value, value, value];
  const list = json.numbers(value, where);
  if (list === undefined) return undefined;
  if (list.length === 3 && list.every(Number.isFinite)) return [list[0], list[1], list[2]];
  throw json.invalid(where, 'three numbers', value);
}

/** preprocessor_config.json as transformers and transformers.js read it. */
export function preprocessorConfig(config: ModelConfig, preprocess: Preprocess): object {
  const fitted = withSize(preprocess, config.imageSize);
  const { size, resize, filter, mean, std } = fitted;
  const square = resize === 'squash';
  const edge = resizedEdge(fitted);
  const isCropped = !square || edge !== size;
  const type = isCropped
    ? square
      ? 'DeiTImageProcessor'
      : 'BitImageProcessor'
    : 'ViTImageProcessor';
  return {
    image_processor_type: type,
    do_convert_rgb: true,
    do_resize: true,
    size: square ? { height: edge, width: edge } : { shortest_edge: edge },
    resample: RESAMPLE.indexOf(filter),
    do_center_crop: isCropped,
    ...(isCropped && { crop_size: { height: size, width: size } }),
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: [...mean],
    image_std: [...std],
  };
}

function checked(preprocess: Preprocess): Preprocess {
  try {
    return checkPreprocess(preprocess);
  } catch (error) {
    if (error instanceof ConfigError) throw new CheckpointError(error.parts);
    throw error;
  }
}

function unable(where: string, expected: string, got: string): CheckpointError {
  const todo = 'Thimble cannot prepare pictures so; change the file, or choose another checkpoint';
  return new CheckpointError({ where, expected, got, todo });
}
