/**
 * What the configurations of vision transformers have in common: their patches, and the fields of
 * config.json. What has no place in Thimble's models (another activation, no bias) throws here.
 */
import { CheckpointError } from '../errors.js';
import { brief, optional, text, truth, type ObjectOf } from '../schema/index.js';
import { side, unset } from './documents.js';
import { agree, unsupported, type Evidence, type Kinds } from './evidence.js';
import { partsOf } from './reasons.js';
import {
  CHANNELS,
  CLASSES,
  IMAGE_SIZE,
  LAYER_NORM_EPS,
  MLP_RATIO,
  PATCH,
  WIDTH,
  type FamilyConfig,
} from './sizes.js';
import { bareArguments, timmFacts } from './timm.js';
import { TRANSFORMER_REASONS } from './transformer-reasons.js';

/** What is said of a transformer of any family, as far as it is. */
export interface TransformerFacts {
  readonly imageSize?: number | undefined;
  readonly patch?: number | undefined;
  readonly channels?: number | undefined;
  readonly width?: number | undefined;
  readonly mlpRatio?: number | undefined;
  readonly eps?: number | undefined;
  readonly classes?: number | undefined;
}

/** The facts of a configuration of ours. */
export function ownFacts(config: {
  readonly imageSize: number | undefined;
  readonly patch: number;
  readonly channels: number;
  readonly width: number;
  readonly mlpRatio: number;
  readonly classes: number | undefined;
  readonly layerNormEps: number;
}): TransformerFacts {
  const { imageSize, patch, channels, width, mlpRatio, classes, layerNormEps: eps } = config;
  return { imageSize, patch, channels, width, mlpRatio, classes, eps };
}

/** Names of the exact GELU. */
const GELU = ['gelu', 'gelu_python'];

/** Of config.json of transformers. */
export const TRANSFORMERS_FIELDS = {
  hidden_act: optional(text({ most: 200 })),
  qkv_bias: optional(truth),
  use_absolute_embeddings: optional(truth),
  image_size: optional(side(IMAGE_SIZE)),
  patch_size: optional(side(PATCH)),
  num_channels: optional(CHANNELS),
  layer_norm_eps: optional(LAYER_NORM_EPS),
  num_labels: optional(CLASSES),
};

/** Throws CheckpointError for what Thimble's transformers cannot do. */
export function transformersFacts(
  said: ObjectOf<typeof TRANSFORMERS_FIELDS>,
  kinds: Kinds,
): TransformerFacts {
  const { hidden_act: act = 'gelu' } = said;
  if (!GELU.includes(act)) throw unsupported('hidden_act', GELU.join(' or '), act, kinds);
  if (said.qkv_bias === false) throw unsupported('qkv_bias', 'true', 'false', kinds);
  if (said.use_absolute_embeddings === true) {
    throw unsupported('use_absolute_embeddings', 'false', 'true', kinds);
  }
  return {
    imageSize: said.image_size,
    patch: said.patch_size,
    channels: said.num_channels,
    eps: said.layer_norm_eps,
    classes: said.num_labels,
  };
}

/** Of `model_args` in config.json of timm. */
export const TIMM_ARGUMENTS = {
  img_size: unset(side(IMAGE_SIZE)),
  patch_size: optional(side(PATCH)),
  in_chans: optional(CHANNELS),
  embed_dim: optional(WIDTH),
  mlp_ratio: optional(MLP_RATIO),
};

/** Arguments of timm's models that make another model of them. */
const STRANGE_ARGUMENTS = ['act_layer', 'norm_layer', 'qk_norm', 'pre_norm', 'class_token'];

/** Throws CheckpointError for what Thimble's transformers cannot do. */
export function checkTimm(file: unknown, kinds: Kinds): void {
  const { architecture } = timmFacts(file);
  if (architecture !== undefined && /quickgelu|clip|_rope|siglip|_gap_/.test(architecture)) {
    throw unsupported('architecture', `a plain ${kinds.one}`, architecture, kinds);
  }
  const args = bareArguments(file);
  const key = STRANGE_ARGUMENTS.find((name) => args[name] !== undefined);
  if (key === undefined) return;
  throw unsupported(`model_args.${key}`, 'nothing', brief(args[key]), kinds);
}

export function timmTransformerFacts(
  file: unknown,
  args: ObjectOf<typeof TIMM_ARGUMENTS>,
): TransformerFacts {
  const { imageSize, classes } = timmFacts(file);
  return {
    imageSize: args.img_size ?? imageSize,
    patch: args.patch_size,
    channels: args.in_chans,
    width: args.embed_dim,
    mlpRatio: args.mlp_ratio,
    classes,
  };
}

/** Plain words in the metadata of a bare file; what is no such number says nothing. */
export function wordFacts(words: ReadonlyMap<string, string>): {
  readonly heads?: number;
  readonly eps?: number;
} {
  const heads = Number(words.get('heads') ?? NaN);
  const eps = Number(words.get('ln_eps') ?? NaN);
  return {
    ...(Number.isSafeInteger(heads) && heads >= 1 && { heads }),
    ...(eps >= 1e-30 && eps < 1 && { eps }),
  };
}

/** The sizes of the patches' projection. */
export function embeddingOf<C extends FamilyConfig>(
  evidence: Evidence<C>,
  facts: TransformerFacts,
): { readonly width: number; readonly channels: number; readonly patch: number } {
  const shape = evidence.shape('patch_embed.proj.weight') ?? [];
  const [width, channels, patch, columns] = shape;
  if (shape.length !== 4 || channels !== 3 || patch !== columns || shape.includes(0)) {
    const expected = '[width, 3, patch, patch] for colour images';
    throw oddTensor(evidence, 'patch_embed.proj.weight', expected);
  }
  agree(evidence, 'width', facts.width, width);
  agree(evidence, 'channels', facts.channels, channels);
  agree(evidence, 'patch', facts.patch, patch);
  return { width, channels, patch };
}

/** The error of a tensor whose shape no transformer of ours has. */
export function oddTensor<C extends FamilyConfig>(
  { file, names, kinds, shape: shapeOf }: Evidence<C>,
  name: string,
  expected: string,
): CheckpointError {
  const shape = shapeOf(name);
  const strange = partsOf(names, TRANSFORMER_REASONS.strange);
  const got = shape ? `[${shape.join(', ')}]` : 'none';
  return new CheckpointError({
    where: `${file}, tensor ${name}`,
    expected: `shape ${expected}`,
    got: strange === '' ? got : `${got} in a model with ${strange}`,
    todo: `Thimble reads ${kinds.many} on square images`,
  });
}

/** What config.json of transformers says of any transformer of ours. */
export function transformersShape(config: {
  readonly imageSize: number;
  readonly patch: number;
  readonly channels: number;
  readonly layerNormEps: number;
}): object {
  return {
    hidden_act: 'gelu',
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    image_size: config.imageSize,
    patch_size: config.patch,
    num_channels: config.channels,
    layer_norm_eps: config.layerNormEps,
    qkv_bias: true,
  };
}
