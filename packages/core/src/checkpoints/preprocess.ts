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
  imagenetMean,
  imagenetStd,
  preprocessReader,
  resizedEdge,
  withSize,
  type Preprocess,
  type Triple,
} from '../data/preprocess.js';
import { RESAMPLE_FILTERS } from '../data/resample.js';
import type { ThimbleError } from '../errors.js';
import { CONFIG, metadataEntry, PREPROCESSOR, side, unset } from '../models/documents.js';
import type { ProcessorName } from '../models/family.js';
import { FAMILIES, familyOf, type ModelConfig } from '../models/index.js';
import type { NamingName } from '../models/naming.js';
import { IMAGE_SIZE } from '../models/sizes.js';
import {
  anything,
  brief,
  field,
  isObject,
  list,
  number,
  object,
  optional,
  Place,
  read,
  readValue,
  text,
  truth,
  whole,
  type JsonDocument,
  type Read,
  type Reader,
} from '../schema/index.js';
import type { Sidecars } from './types.js';

/**
 * What the files beside a checkpoint say; null where they say nothing.
 *
 * @param size of another image size, at which the same part of the picture is seen
 * Throws CheckpointError for values that make no sense or that Thimble cannot do.
 */
export function parsePreprocess(sidecars: Sidecars, size?: number): Preprocess | null {
  const { preprocessor, config } = sidecars;
  const isSilent = preprocessor === null || preprocessor === undefined;
  const found = isSilent
    ? usable(timmPreprocess(config, CONFIG), CONFIG)
    : usable(huggingFacePreprocess(preprocessor, config), PREPROCESSOR);
  return found === null || size === undefined ? found : withSize(found, size);
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
  const document = { ...CONFIG, file: 'metadata' };
  return usable(timmPreprocess({ pretrained_cfg: cfg }, document), document);
}

/** What a file says, where it makes finite numbers of pictures. Throws the file's error. */
function usable(found: Preprocess | null, document: JsonDocument): Preprocess | null {
  return found === null ? null : readValue(found, preprocessReader, document);
}

/** What Thimble's metadata `preprocess` says; null without it. */
export function storedPreprocess(metadata: ReadonlyMap<string, string>): Preprocess | null {
  const stored = metadata.get('preprocess');
  return stored === undefined ? null : read(stored, preprocessReader, metadataEntry('preprocess'));
}

/** What the family of `config` was trained with, for checkpoints of which nothing says it. */
export function familyPreprocess(naming: NamingName, config: ModelConfig): Preprocess {
  return familyOf(config).preprocess(naming, config);
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
  /** Pixels where a file gives no size. Default: USUAL. */
  readonly edge?: number;
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

const PROCESSORS: { readonly [P in ProcessorName]: ProcessorDefaults } = {
  ViT: SQUARE,
  DeiT: { ...SQUARE, crop: true, resample: 3 },
  Bit: CLIP,
  CLIP,
  ConvNext: { ...SQUARE, size: 'shortest_edge' },
  MobileNetV2: { ...SQUARE, size: 'shortest_edge', crop: true, edge: 256 },
  EfficientNet: { ...SQUARE, resample: 0, mean: imagenetMean, std: imagenetStd, edge: 346 },
};

const NAME = text({ most: 200 });
/** Of an edge, before anything is cropped. */
const EDGE = whole({ most: 1_000_000 });
const CHANNELS = channels(number());

/** Of preprocessor_config.json; sizes have several forms. */
const PROCESSOR = object({
  image_processor_type: unset(NAME),
  feature_extractor_type: unset(NAME),
  do_pad: unset(truth),
  do_resize: unset(truth),
  do_center_crop: unset(truth),
  do_rescale: unset(truth),
  do_normalize: unset(truth),
  resample: unset(whole({ least: 0, most: RESAMPLE_FILTERS.length - 1 })),
  rescale_factor: unset(number({ above: 0, most: 1e6 })),
  image_mean: optional(CHANNELS),
  image_std: optional(CHANNELS),
  crop_pct: unset(number({ above: 0, most: 1 })),
  include_top: unset(truth),
  size: unset(anything),
  crop_size: unset(anything),
});
type Processor = Read<typeof PROCESSOR>;

/** A number for each channel, or one for all. */
function channels(one: Reader<number>): Reader<Triple> {
  const three = list(one, { least: 3, most: 3 });
  return (value, place) => {
    const [red, green, blue] = Array.isArray(value)
      ? three(value, place)
      : Array<number>(3).fill(one(value, place));
    return [red, green, blue];
  };
}

function huggingFacePreprocess(given: unknown, config: unknown): Preprocess | null {
  const file = readValue(given, PROCESSOR, PREPROCESSOR);
  const type = file.image_processor_type ?? file.feature_extractor_type;
  if (type === 'TimmWrapperImageProcessor') return timmPreprocess(given, PREPROCESSOR);
  const name = type === undefined ? usualProcessor(config) : processorNamed(type);
  const defaults = PROCESSORS[name];
  if (file.do_pad === true) throw unable(PREPROCESSOR, 'do_pad', 'false', 'true');
  const { rescale_factor: factor = 1 / 255, do_normalize: isNormalised = true } = file;
  const scale =
    file.do_rescale === false ? 255 : Math.abs(255 * factor - 1) < 1e-9 ? 1 : 255 * factor;
  const mean = isNormalised ? (file.image_mean ?? defaults.mean) : [0, 0, 0];
  const once = isNormalised ? (file.image_std ?? defaults.std) : [1, 1, 1];
  // Where a classifier follows, this processor divides by the standard deviation once more.
  const isTwice = name === 'EfficientNet' && file.include_top !== false;
  const std = isTwice ? once.map((each) => each * each) : once;
  return {
    ...(name === 'ConvNext' ? convNextFrame(file) : frame(file, defaults)),
    filter: RESAMPLE_FILTERS[file.resample ?? defaults.resample],
    mean: [mean[0] / scale, mean[1] / scale, mean[2] / scale],
    std: [std[0] / scale, std[1] / scale, std[2] / scale],
  };
}

/** The processor of models of the type that config.json says. */
function usualProcessor(config: unknown): ProcessorName {
  const type = field(config, 'model_type');
  const known = Object.values(FAMILIES).flatMap((each) =>
    Object.entries<ProcessorName>(each.transformersTypes),
  );
  return known.find(([name]) => name === type)?.[1] ?? 'ViT';
}

function processorNamed(type: string): ProcessorName {
  const given = type.replace(/(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/, '');
  const known = Object.keys(PROCESSORS) as ProcessorName[];
  const name = known.find((each) => each === given);
  if (name !== undefined) return name;
  throw unable(PREPROCESSOR, 'image_processor_type', known.join(', '), type);
}

type Frame = Pick<Preprocess, 'size' | 'cropPercentage' | 'resize' | 'edge' | 'offset'>;

/** What is resized to, and what is cropped from it. */
function frame(file: Processor, defaults: ProcessorDefaults): Frame {
  const resized = edgeOf(file.size ?? defaults.edge, defaults.size);
  const { do_center_crop: isCropped = defaults.crop, do_resize: isResized = true } = file;
  const crop = isCropped ? squareOf(file.crop_size ?? USUAL, 'crop_size') : undefined;
  if (!isResized && crop !== undefined) {
    throw unable(PREPROCESSOR, 'do_resize', 'true before a crop', 'false');
  }
  if (crop === undefined) {
    if (resized.resize === 'squash') return squash(resized.edge);
    throw unable(PREPROCESSOR, 'size', 'a square, or a crop after resizing', brief(file.size));
  }
  const { edge, resize } = resized;
  if (crop > edge) {
    throw unable(PREPROCESSOR, 'crop_size', `at most the size ${String(edge)}`, String(crop));
  }
  if (resize === 'squash' && crop === edge) return squash(edge);
  return { size: crop, cropPercentage: crop / edge, resize, edge, offset: 'down' };
}

/** Below 384 pixels a crop of the part `crop_pct`, from there on the whole picture. */
function convNextFrame({ size: given, crop_pct: part = 224 / 256 }: Processor): Frame {
  const { edge: size } = edgeOf(given, 'shortest_edge');
  if (size >= 384) return squash(size);
  const edge = Math.trunc(size / part);
  return { size, cropPercentage: part, resize: 'shortest-edge', edge, offset: 'down' };
}

function squash(size: number): Frame {
  return { size, cropPercentage: 1, resize: 'squash' };
}

/** Pixels where a size is left out. */
const USUAL = 224;
const SHORTEST = object({ shortest_edge: EDGE });
const SQUARE_SIZE = object({ height: EDGE, width: EDGE });

function edgeOf(
  size: unknown = USUAL,
  bare: ProcessorDefaults['size'],
): { readonly edge: number; readonly resize: Preprocess['resize'] } {
  const place = new Place(PREPROCESSOR).at('size');
  if (!isObject(size)) {
    const resize = bare === 'square' ? 'squash' : 'shortest-edge';
    return { edge: side(EDGE)(size, place), resize };
  }
  if ('shortest_edge' in size && !('longest_edge' in size)) {
    return { edge: SHORTEST(size, place).shortest_edge, resize: 'shortest-edge' };
  }
  return { edge: squareOf(size, 'size'), resize: 'squash' };
}

/** 224, [224, 224] or { height: 224, width: 224 }. */
function squareOf(size: unknown, key: string): number {
  const place = new Place(PREPROCESSOR).at(key);
  if (!isObject(size)) return side(EDGE)(size, place);
  const { height, width } = SQUARE_SIZE(size, place);
  return side(EDGE)([height, width], place);
}

/** Of pretrained_cfg, or of old files, which had the fields at the top. */
const RECIPE = object({
  input_size: unset(side(IMAGE_SIZE)),
  crop_pct: unset(number({ above: 0, most: 1 })),
  crop_mode: unset(NAME),
  interpolation: unset(NAME),
  mean: optional(CHANNELS),
  std: optional(CHANNELS),
});

/** null where nothing is said. */
function timmPreprocess(config: unknown, document: JsonDocument): Preprocess | null {
  const nested = field(config, 'pretrained_cfg');
  const given = isObject(nested) ? nested : isObject(config) ? config : {};
  const keys = ['input_size', 'crop_pct', 'interpolation', 'mean', 'std'];
  if (!keys.some((key) => Object.hasOwn(given, key))) return null;
  const recipe = readValue(given, RECIPE, document);
  const { input_size: size = USUAL, crop_pct: cropPercentage = 0.875 } = recipe;
  const { crop_mode: mode = 'center', interpolation = 'bicubic' } = recipe;
  if (mode !== 'center' && mode !== 'squash') {
    throw unable(document, 'crop_mode', 'center or squash', mode);
  }
  const filter = RESAMPLE_FILTERS.find((name) => name === interpolation);
  if (!filter) throw unable(document, 'interpolation', RESAMPLE_FILTERS.join(', '), interpolation);
  const edge = Math.floor(size / cropPercentage);
  return {
    ...{ size, cropPercentage, filter },
    resize: mode === 'center' ? 'shortest-edge' : 'squash',
    ...(mode === 'squash' && edge !== size && { edge }),
    mean: recipe.mean ?? imagenetMean,
    std: recipe.std ?? imagenetStd,
  };
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
    resample: RESAMPLE_FILTERS.indexOf(filter),
    do_center_crop: isCropped,
    ...(isCropped && { crop_size: { height: size, width: size } }),
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: [...mean],
    image_std: [...std],
  };
}

function unable(
  { file, error: Kind }: JsonDocument,
  key: string,
  expected: string,
  got: string,
): ThimbleError {
  const todo = 'Thimble cannot prepare pictures so; change the file, or choose another checkpoint';
  return new Kind({ where: `${file}, ${key}`, expected, got, todo });
}
