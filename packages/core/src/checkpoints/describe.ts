/** Words for people about a checkpoint: what it is, and what it has that Thimble's models do not. */
import { CheckpointError } from '../errors.js';
import type { ModelConfig } from '../models/index.js';
import type { NamingName } from '../models/naming.js';
import { field } from '../schema/index.js';
import type { WeightSource } from '../train/weights.js';
import type { Sidecars } from './types.js';

const NAMES: { readonly [N in NamingName]: string } = {
  timm: 'timm names',
  'hugging-face': 'Hugging Face names',
  torchvision: 'torchvision names',
  thimble: 'saved by Thimble',
};

/** Letters of the published sizes, by width. */
export const VIT_SIZES: Readonly<Record<number, string | undefined>> = {
  192: 'Ti',
  384: 'S',
  768: 'B',
  1024: 'L',
  1280: 'H',
};
const SWIN_SIZES: Readonly<Record<string, string>> = {
  '96:2,2,6,2': 'T',
  '96:2,2,18,2': 'S',
  '128:2,2,18,2': 'B',
  '192:2,2,18,2': 'L',
};

/** `ViT-Ti/16, 224 px, 1000 classes, timm names` */
export function describeConfig(
  naming: NamingName,
  { config, hasClassifier }: { readonly config: ModelConfig; readonly hasClassifier: boolean },
): string {
  const classes = hasClassifier ? `${String(config.classes)} classes` : 'no classifier';
  return [nameOf(config), `${String(config.imageSize)} px`, classes, NAMES[naming]].join(', ');
}

function nameOf(config: ModelConfig): string {
  const { width } = config;
  if (config.family === 'swin') {
    const depths = config.depths.join();
    const size =
      SWIN_SIZES[`${String(width)}:${depths}`] ?? `${String(width)} wide, ${depths} blocks`;
    return `Swin-${size}, window ${String(config.window)}`;
  }
  const { patch, depth, distilled = false, pooling } = config;
  const known = depth === (width >= 1280 ? 32 : width >= 1024 ? 24 : 12) && VIT_SIZES[width];
  const size = known || `${String(width)}x${String(depth)}`;
  const name = `${distilled ? 'DeiT' : 'ViT'}-${size}/${String(patch)}`;
  const tokens = distilled ? ' with distillation token' : '';
  return `${name}${tokens}${pooling === 'mean' ? ' with mean pooling' : ''}`;
}

type Reason = readonly [pattern: RegExp, part: string];

/** Tensor names that tell a part which Thimble's models do not have. */
const STRANGE: readonly Reason[] = [
  [/\.ls\d\.gamma$|layer_scale|\.gamma(_\d)?$|lambda/, 'layer scale'],
  [/reg_token|register_token/, 'register tokens'],
  [/norm_pre|pre_layrnorm|pre_layernorm/, 'a norm before the blocks'],
  [/\b[qk]_norm/, 'normed queries and keys'],
  [/\b[qv]_bias$/, 'attention of another form'],
  [/rope|freqs|rotary/, 'rotary positions'],
  [/rel_pos|cpb_mlp/, 'relative positions of another form'],
  [/attn_pool|probe/, 'attention pooling'],
  [/pre_logits/, 'a representation layer'],
  [/decoder|mask_token/, 'a decoder of masked images'],
  [/detection_tokens/, 'detection tokens'],
  [/text_model|visual/, 'a text and image model'],
  [/running_mean|running_var/, 'batch norm'],
  [/mlp\.(w12|w3|fc1_g)/, 'a gated MLP'],
];

/** The same for names that are at home in one of the models, and strangers in another. */
const MISPLACED: readonly Reason[] = [
  [/[qk]_proj/, 'attention of another form'],
  [/relative_position/, 'relative positions'],
  [/^norm\./, 'a norm before the pooling'],
];
/** What it means that a tensor is not there. */
const ABSENT: readonly Reason[] = [
  [/(qkv|query|key|value|[qkv]_proj)\.bias$|in_proj_bias$/, 'attention without a bias'],
  [/(patch_embed\.proj|projection|conv_proj)\.bias$/, 'patches without a bias'],
  [/^fc_norm\./, 'a mean of tokens without a norm of its own'],
];
const SHOWN = 8;
/** Characters of what a file calls its model. */
const SAID = 60;

/** The first names, and how many more. */
export function listed(names: readonly string[]): string {
  const more = names.length - SHOWN;
  const shown = names.slice(0, SHOWN).join(', ');
  return more > 0 ? `${shown} and ${String(more)} more` : shown;
}

/** The first names, and the parts of a model that they tell. */
export function withReasons(names: readonly string[]): string {
  const parts = partsOf(names, [...STRANGE, ...MISPLACED]);
  return parts === '' ? listed(names) : `${listed(names)} (${parts})`;
}

/** The first names, and what it tells of a model that it does not have them. */
export function missingWithReasons(names: readonly string[]): string {
  const parts = partsOf(names, ABSENT);
  return parts === '' ? listed(names) : `${listed(names)} (${parts})`;
}

/** Parts of which the names of a whole file tell that Thimble's models do not have them; '' for none. */
export function strangeParts(names: readonly string[]): string {
  return partsOf(names, STRANGE);
}

function partsOf(names: readonly string[], reasons: readonly Reason[]): string {
  const found = reasons.filter(([pattern]) => names.some((name) => pattern.test(name)));
  return [...new Set(found.map(([, part]) => part))].join(', ');
}

/** A file of which not even the family is known. */
export function unknownArchitecture(source: WeightSource, { config }: Sidecars): CheckpointError {
  const names = [...source.shapes.keys()];
  const said = [field(config, 'architecture'), field(config, 'model_type')].find(
    (value) => typeof value === 'string',
  );
  const isWide = (shape: readonly number[]) => shape.length === 4 && shape[2] > 1;
  const convolutions = [...source.shapes.values()].filter(isWide).length;
  const parts = [
    `${String(names.length)} tensors such as ${listed(names.slice(0, 4))}`,
    ...(convolutions > 1 ? [`${String(convolutions)} of them convolutions`] : []),
    ...(typeof said === 'string' ? [`config.json says ${said.slice(0, SAID)}`] : []),
  ];
  return new CheckpointError({
    where: source.name,
    expected: 'a ViT, DeiT or Swin transformer under names of timm, Hugging Face or torchvision',
    got: parts.join('; '),
    todo: 'Choose a checkpoint of one of these; thimble info lists what is in the file',
  });
}
