/**
 * What the files beside the weights, and the weights' own metadata, say about the architecture. Each fact
 * that the tensors say too has to agree with them (`config.ts`); what has no place in Thimble's models
 * (another activation, no bias) throws here.
 *
 * Kinds: config.json of transformers (`model_type`), config.json of timm (`architecture`,
 * `pretrained_cfg`, also flat as timm wrote it before), Thimble's metadata (`thimble.config`, or `model`),
 * plain words in the metadata of a bare file.
 */
import { CheckpointError } from '../errors.js';
import { modelReader, MODELS, type ModelConfig } from '../models/index.js';
import {
  BLOCKS,
  CHANNELS,
  CLASSES,
  DEPTHS,
  HEADS,
  IMAGE_SIZE,
  LAYER_NORM_EPS,
  MLP_RATIO,
  PATCH,
  STAGE_HEADS,
  WIDTH,
  WINDOW,
} from '../models/sizes.js';
import {
  anything,
  brief,
  isObject,
  list,
  object,
  optional,
  read,
  readValue,
  text,
  truth,
  whole,
  type ObjectOf,
  type Read,
} from '../schema/index.js';
import { CONFIG, metadataEntry, side, unset } from '../models/documents.js';
import type { Sidecars } from './types.js';

export interface Facts {
  /** For errors: `config.json`, `metadata thimble.config`; null where nothing was said. */
  readonly from: string | null;
  /** What the model calls itself. */
  readonly architecture?: string | undefined;
  readonly family?: 'vit' | 'swin' | undefined;
  readonly imageSize?: number | undefined;
  readonly patch?: number | undefined;
  readonly channels?: number | undefined;
  readonly width?: number | undefined;
  readonly depth?: number | undefined;
  readonly depths?: readonly number[] | undefined;
  /** Of a ViT. */
  readonly heads?: number | undefined;
  /** Of each stage of a Swin transformer. */
  readonly stageHeads?: readonly number[] | undefined;
  readonly window?: number | undefined;
  readonly hidden?: number | undefined;
  readonly mlpRatio?: number | undefined;
  readonly eps?: number | undefined;
  readonly pooling?: 'token' | 'mean' | undefined;
  readonly classes?: number | undefined;
}

/** Throws CheckpointError for values that make no sense and for what Thimble's models cannot do. */
export function factsOf(metadata: ReadonlyMap<string, string>, { config }: Sidecars): Facts {
  const own = thimbleFacts(metadata);
  if (own) return own;
  if (config === null || config === undefined) return writtenFacts(metadata);
  const { pretrained_cfg, architecture, architectures } = readValue(config, KIND, CONFIG);
  const isTimm = pretrained_cfg !== undefined || (architecture !== undefined && !architectures);
  return isTimm ? timmFacts(config) : huggingFaceFacts(config);
}

/** Fields that tell whose config.json it is. */
const KIND = object({
  pretrained_cfg: optional(anything),
  architecture: optional(anything),
  architectures: optional(anything),
});

/** Plain words in the metadata of a bare file: `heads`, `ln_eps`; what is no such number says nothing. */
function writtenFacts(metadata: ReadonlyMap<string, string>): Facts {
  const heads = Number(metadata.get('heads') ?? NaN);
  const eps = Number(metadata.get('ln_eps') ?? NaN);
  const facts = {
    ...(Number.isSafeInteger(heads) && heads >= 1 && { heads }),
    ...(eps >= 1e-30 && eps < 1 && { eps }),
  };
  return { from: Object.keys(facts).length > 0 ? 'metadata' : null, ...facts };
}

/** True where Thimble saved the checkpoint. */
export function isThimble(metadata: ReadonlyMap<string, string>): boolean {
  if (metadata.has('thimble.config')) return true;
  return metadata.has('classes') && Object.hasOwn(MODELS, metadata.get('model') ?? '');
}

function thimbleFacts(metadata: ReadonlyMap<string, string>): Facts | null {
  if (!isThimble(metadata)) return null;
  const name = metadata.get('model') ?? '';
  const architecture = name || undefined;
  const stored = metadata.get('thimble.config');
  if (stored !== undefined) {
    const document = metadataEntry('thimble.config');
    const config = read(stored, modelReader, document);
    return { ...factsOfModel(config), from: document.file, architecture };
  }
  // A run from before thimble.config says its preset; image size and classes are in the tensors.
  const presets: Readonly<Record<string, ModelConfig>> = MODELS;
  const preset = { ...factsOfModel(presets[name]), imageSize: undefined, classes: undefined };
  return { ...preset, from: 'metadata model', architecture };
}

function factsOfModel(config: ModelConfig): Omit<Facts, 'from'> {
  const { imageSize, patch, channels, width, mlpRatio, classes, layerNormEps: eps } = config;
  const shared = { imageSize, patch, channels, width, mlpRatio, classes, eps };
  if (config.family === 'swin') {
    const { depths, heads: stageHeads, window } = config;
    return { ...shared, family: 'swin', depths, stageHeads, window };
  }
  const { depth, heads, pooling } = config;
  const hidden = Math.round(width * mlpRatio);
  return { ...shared, family: 'vit', depth, heads, pooling, hidden };
}

/** Of transformers.models: the types whose classifiers are Thimble's. */
const HF_TYPES: Readonly<Record<string, 'vit' | 'swin'>> = {
  vit: 'vit',
  vit_msn: 'vit',
  deit: 'vit',
  swin: 'swin',
};
/** Names of the exact GELU. */
const GELU = ['gelu', 'gelu_python'];

/** A name of something that libraries have. */
const NAME = text({ most: 200 });
const HIDDEN = whole({ most: 10_000_000 });

const HF_SHARED = {
  model_type: optional(NAME),
  architectures: unset(list(NAME, { most: 100 })),
  hidden_act: optional(NAME),
  qkv_bias: optional(truth),
  use_absolute_embeddings: optional(truth),
  image_size: optional(side(IMAGE_SIZE)),
  patch_size: optional(side(PATCH)),
  num_channels: optional(CHANNELS),
  layer_norm_eps: optional(LAYER_NORM_EPS),
  num_labels: optional(CLASSES),
};
const HF_TYPE = object({ model_type: HF_SHARED.model_type });
const HF_VIT = object({
  ...HF_SHARED,
  hidden_size: optional(WIDTH),
  num_hidden_layers: optional(BLOCKS),
  num_attention_heads: optional(HEADS),
  intermediate_size: optional(HIDDEN),
});
const HF_SWIN = object({
  ...HF_SHARED,
  embed_dim: optional(WIDTH),
  depths: optional(DEPTHS),
  num_heads: optional(STAGE_HEADS),
  window_size: optional(side(WINDOW)),
  mlp_ratio: optional(MLP_RATIO),
});

function huggingFaceFacts(config: unknown): Facts {
  const { model_type: type } = readValue(config, HF_TYPE, CONFIG);
  if (type !== undefined && !Object.hasOwn(HF_TYPES, type)) {
    throw unsupported('model_type', `one of ${Object.keys(HF_TYPES).join(', ')}`, type);
  }
  if (type !== undefined && HF_TYPES[type] === 'swin') {
    const said = readValue(config, HF_SWIN, CONFIG);
    return {
      ...sharedFacts(said),
      family: 'swin',
      width: said.embed_dim,
      depths: said.depths,
      stageHeads: said.num_heads,
      window: said.window_size,
      mlpRatio: said.mlp_ratio,
    };
  }
  const said = readValue(config, HF_VIT, CONFIG);
  return {
    ...sharedFacts(said),
    family: type === undefined ? undefined : 'vit',
    width: said.hidden_size,
    depth: said.num_hidden_layers,
    heads: said.num_attention_heads,
    hidden: said.intermediate_size,
  };
}

function sharedFacts(said: Read<typeof HF_VIT> | Read<typeof HF_SWIN>): Facts {
  const { hidden_act: act = 'gelu', architectures: [architecture = said.model_type] = [] } = said;
  if (!GELU.includes(act)) throw unsupported('hidden_act', GELU.join(' or '), act);
  if (said.qkv_bias === false) throw unsupported('qkv_bias', 'true', 'false');
  if (said.use_absolute_embeddings === true) {
    throw unsupported('use_absolute_embeddings', 'false', 'true');
  }
  return {
    from: 'config.json',
    architecture,
    imageSize: said.image_size,
    patch: said.patch_size,
    channels: said.num_channels,
    eps: said.layer_norm_eps,
    classes: said.num_labels,
  };
}

const TIMM_CLASSES = unset(whole({ least: 0, most: 1_000_000 }));
/** Fields of pretrained_cfg, which stood at the top before. */
const TIMM_RECIPE = object({ num_classes: TIMM_CLASSES, input_size: unset(side(IMAGE_SIZE)) });
const TIMM = object({
  architecture: optional(NAME),
  global_pool: optional(NAME),
  num_classes: TIMM_CLASSES,
  pretrained_cfg: unset(TIMM_RECIPE),
  model_args: unset(object({ depths: optional(DEPTHS) })),
});

const TIMM_ARGUMENTS = {
  img_size: unset(side(IMAGE_SIZE)),
  patch_size: optional(side(PATCH)),
  in_chans: optional(CHANNELS),
  embed_dim: optional(WIDTH),
  mlp_ratio: optional(MLP_RATIO),
};
const TIMM_VIT = object({
  model_args: unset(
    object({ ...TIMM_ARGUMENTS, depth: optional(BLOCKS), num_heads: optional(HEADS) }),
  ),
});
const TIMM_SWIN = object({
  model_args: unset(
    object({
      ...TIMM_ARGUMENTS,
      depths: optional(DEPTHS),
      num_heads: optional(STAGE_HEADS),
      window_size: optional(side(WINDOW)),
    }),
  ),
});

function timmFacts(config: unknown): Facts {
  const said = readValue(config, TIMM, CONFIG);
  const { architecture, global_pool: pool } = said;
  const recipe = said.pretrained_cfg ?? readValue(config, TIMM_RECIPE, CONFIG);
  if (architecture !== undefined && /quickgelu|clip|_rope|siglip|_gap_/.test(architecture)) {
    throw unsupported('architecture', 'a plain ViT, DeiT or Swin transformer', architecture);
  }
  checkArguments(config);
  const classes = said.num_classes ?? recipe.num_classes;
  const shared = {
    from: 'config.json',
    architecture,
    imageSize: recipe.input_size,
    classes: classes === 0 ? undefined : classes,
  };
  if (architecture?.startsWith('swin') === true || said.model_args?.depths) {
    const { model_args: args = {} } = readValue(config, TIMM_SWIN, CONFIG);
    const { depths, num_heads: stageHeads, window_size: window } = args;
    return { ...shared, ...argumentFacts(args, shared), depths, stageHeads, window };
  }
  const { model_args: args = {} } = readValue(config, TIMM_VIT, CONFIG);
  const pooling = pool === undefined ? undefined : pool === 'avg' ? 'mean' : 'token';
  const { depth, num_heads: heads } = args;
  return { ...shared, ...argumentFacts(args, shared), pooling, depth, heads };
}

function argumentFacts(
  args: ObjectOf<typeof TIMM_ARGUMENTS>,
  { imageSize }: Pick<Facts, 'imageSize'>,
): Partial<Facts> {
  return {
    imageSize: args.img_size ?? imageSize,
    patch: args.patch_size,
    channels: args.in_chans,
    width: args.embed_dim,
    mlpRatio: args.mlp_ratio,
  };
}

/** Arguments of timm's models that make another model of them. */
const STRANGE = ['act_layer', 'norm_layer', 'qk_norm', 'pre_norm', 'class_token'];

function checkArguments(config: unknown): void {
  const args = isObject(config) && isObject(config.model_args) ? config.model_args : {};
  const key = STRANGE.find((name) => args[name] !== undefined);
  if (key !== undefined) throw unsupported(`model_args.${key}`, 'nothing', brief(args[key]));
}

function unsupported(key: string, expected: string, got: string): CheckpointError {
  return new CheckpointError({
    where: `config.json, ${key}`,
    expected,
    got,
    todo: 'Thimble has no such model; choose a plain ViT, DeiT or Swin transformer',
  });
}
