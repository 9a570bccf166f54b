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
import { MODELS, type ModelConfig } from '../models/index.js';
import * as json from './json.js';
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
  if (!json.isObject(config)) throw json.invalid('config.json', 'an object', config);
  const isTimm =
    'pretrained_cfg' in config || ('architecture' in config && !('architectures' in config));
  return isTimm ? timmFacts(config) : huggingFaceFacts(config);
}

/** Plain words in the metadata of a bare file: `heads`, `ln_eps`; what is no number says nothing. */
function writtenFacts(metadata: ReadonlyMap<string, string>): Facts {
  const heads = Number(metadata.get('heads') ?? NaN);
  const eps = Number(metadata.get('ln_eps') ?? NaN);
  const facts = {
    ...(Number.isInteger(heads) && heads >= 1 && { heads }),
    ...(eps > 0 && eps < 1 && { eps }),
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
  const stored = json.parseJson(metadata.get('thimble.config'), 'metadata thimble.config');
  const presets: Readonly<Record<string, ModelConfig>> = MODELS;
  // A run from before thimble.config says its preset; image size and classes are in the tensors.
  const preset = { ...presets[name], imageSize: undefined, classes: undefined };
  const said: unknown = stored ?? preset;
  const from = stored === undefined ? 'metadata model' : 'metadata thimble.config';
  const get = (key: string) => json.field(said, key);
  const at = (key: string) => `${from}, ${key}`;
  const isSwin = get('family') === 'swin';
  const list = (key: string) => json.numbers(get(key), at(key));
  return {
    from,
    architecture: name || undefined,
    family: isSwin ? 'swin' : 'vit',
    imageSize: json.wholeNumber(get('imageSize'), at('imageSize')),
    patch: json.wholeNumber(get('patch'), at('patch')),
    channels: json.wholeNumber(get('channels'), at('channels')),
    width: json.wholeNumber(get('width'), at('width')),
    mlpRatio: json.positiveNumber(get('mlpRatio'), at('mlpRatio')),
    eps: json.positiveNumber(get('layerNormEps'), at('layerNormEps')),
    classes: json.wholeNumber(get('classes'), at('classes')),
    ...(isSwin
      ? {
          depths: list('depths'),
          stageHeads: list('heads'),
          window: json.wholeNumber(get('window'), at('window')),
        }
      : {
          depth: json.wholeNumber(get('depth'), at('depth')),
          heads: json.wholeNumber(get('heads'), at('heads')),
        }),
  };
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

type Json = Readonly<Record<string, unknown>>;

function huggingFaceFacts(config: Json): Facts {
  const at = (key: string) => `config.json, ${key}`;
  const whole = (key: string) => json.wholeNumber(config[key], at(key));
  const type = json.text(config.model_type, at('model_type'));
  const [architecture] = json.texts(config.architectures, at('architectures')) ?? [];
  if (type !== undefined && !Object.hasOwn(HF_TYPES, type)) {
    throw unsupported('model_type', `one of ${Object.keys(HF_TYPES).join(', ')}`, type);
  }
  const act = json.text(config.hidden_act, at('hidden_act')) ?? 'gelu';
  if (!GELU.includes(act)) throw unsupported('hidden_act', GELU.join(' or '), act);
  if (json.truth(config.qkv_bias, at('qkv_bias')) === false) {
    throw unsupported('qkv_bias', 'true', 'false');
  }
  if (json.truth(config.use_absolute_embeddings, at('use_absolute_embeddings')) === true) {
    throw unsupported('use_absolute_embeddings', 'false', 'true');
  }
  const family = type === undefined ? undefined : HF_TYPES[type];
  const isSwin = family === 'swin';
  return {
    from: 'config.json',
    architecture: architecture ?? type,
    family,
    imageSize: json.side(config.image_size, at('image_size')),
    patch: json.side(config.patch_size, at('patch_size')),
    channels: whole('num_channels'),
    eps: json.positiveNumber(config.layer_norm_eps, at('layer_norm_eps')),
    classes: whole('num_labels'),
    ...(isSwin
      ? {
          width: whole('embed_dim'),
          depths: json.numbers(config.depths, at('depths')),
          stageHeads: json.numbers(config.num_heads, at('num_heads')),
          window: json.side(config.window_size, at('window_size')),
          mlpRatio: json.positiveNumber(config.mlp_ratio, at('mlp_ratio')),
        }
      : {
          width: whole('hidden_size'),
          depth: whole('num_hidden_layers'),
          heads: whole('num_attention_heads'),
          hidden: whole('intermediate_size'),
        }),
  };
}

function timmFacts(config: Json): Facts {
  const at = (key: string) => `config.json, ${key}`;
  const pretrained = json.isObject(config.pretrained_cfg) ? config.pretrained_cfg : config;
  const args = json.isObject(config.model_args) ? config.model_args : {};
  const whole = (key: string) => json.wholeNumber(args[key], at(`model_args.${key}`));
  const architecture = json.text(config.architecture, at('architecture'));
  if (architecture !== undefined && /quickgelu|clip|_rope|siglip|_gap_/.test(architecture)) {
    throw unsupported('architecture', 'a plain ViT, DeiT or Swin transformer', architecture);
  }
  for (const key of ['act_layer', 'norm_layer', 'qk_norm', 'pre_norm', 'class_token']) {
    if (args[key] === undefined) continue;
    throw unsupported(`model_args.${key}`, 'nothing', JSON.stringify(args[key]));
  }
  const pool = json.text(config.global_pool, at('global_pool'));
  const isSwin = architecture?.startsWith('swin');
  const classes = config.num_classes ?? pretrained.num_classes;
  return {
    from: 'config.json',
    architecture,
    imageSize: json.side(args.img_size ?? pretrained.input_size, at('input_size')),
    patch: json.side(args.patch_size, at('model_args.patch_size')),
    channels: whole('in_chans'),
    width: whole('embed_dim'),
    mlpRatio: json.positiveNumber(args.mlp_ratio, at('model_args.mlp_ratio')),
    classes: classes === 0 ? undefined : json.wholeNumber(classes, at('num_classes')),
    ...(pool === undefined || isSwin ? {} : { pooling: pool === 'avg' ? 'mean' : 'token' }),
    ...(Array.isArray(args.depths)
      ? {
          depths: json.numbers(args.depths, at('model_args.depths')),
          stageHeads: json.numbers(args.num_heads, at('model_args.num_heads')),
          window: json.side(args.window_size, at('model_args.window_size')),
        }
      : { depth: whole('depth'), ...(isSwin ? {} : { heads: whole('num_heads') }) }),
  };
}

function unsupported(key: string, expected: string, got: string): CheckpointError {
  return new CheckpointError({
    where: `config.json, ${key}`,
    expected,
    got,
    todo: 'Thimble has no such model; choose a plain ViT, DeiT or Swin transformer',
  });
}
