/**
 * Where each library keeps each parameter: one table for each naming and family, read in both directions.
 *
 * A table maps a parameter of ours to the foreign tensor that holds it. In both, `{b}` is the number of a
 * block, `{s}` of a stage (`{s-1}`, `{2s}`, `{2s+1}` in foreign names) and `*` is `weight` or `bias`; `{p}` is
 * one of the layout's prefixes. A list of foreign tensors stands for consecutive blocks of rows: query, key
 * and value of the fused qkv. A parameter without an entry cannot be had in that naming.
 *
 * Invariant: a tensor of a file is a parameter of ours by the table, `ignored`, or an error.
 * To add a naming: its tables, one line in LAYOUTS, its models in reference/checkpoints_fixture.py.
 *
 * Sources: timm.models.vision_transformer, deit, swin_transformer; transformers.models.vit, deit, swin
 * (and conversion_mapping for the names of its version 5); torchvision.models.vision_transformer,
 * swin_transformer.
 */
import type { ModelConfig } from '../models/index.js';
import type { NamingName } from './types.js';

export interface Layout {
  readonly naming: NamingName;
  readonly family: NonNullable<ModelConfig['family']>;
  readonly names: Table;
  /** Values of `{p}`, the likeliest first. */
  readonly prefixes: readonly string[];
  /** Parameters of ours that a file of this layout always has, and one of another naming does not. */
  readonly sign: readonly string[];
  /** Foreign tensors that are no weights of the classifying model. */
  readonly ignored: readonly RegExp[];
}

export type Table = Readonly<Record<string, string | readonly string[]>>;

const VIT_FRONT = ['cls_token', 'dist_token', 'pos_embed', 'patch_embed.proj.*'];
const VIT_BACK = ['norm.*', 'fc_norm.*', 'head.*', 'head_dist.*'];
const BLOCK = ['norm1.*', 'attn.qkv.*', 'attn.proj.*', 'norm2.*', 'mlp.fc1.*', 'mlp.fc2.*'];

const TIMM_VIT = same([...VIT_FRONT, ...BLOCK.map((name) => `blocks.{b}.${name}`), ...VIT_BACK]);

const TIMM_SWIN_BLOCKS = same([
  'patch_embed.proj.*',
  'patch_embed.norm.*',
  ...BLOCK.map((name) => `layers.{s}.blocks.{b}.${name}`),
  'layers.{s}.blocks.{b}.attn.relative_position_bias_table',
  'norm.*',
]);

const TIMM_SWIN: Table = {
  ...TIMM_SWIN_BLOCKS,
  ...same(['layers.{s}.downsample.norm.*', 'layers.{s}.downsample.reduction.*', 'head.fc.*']),
};

/** Before timm 0.9, the published checkpoints among them: downsampling ends the stage before. */
const FORMER_SWIN: Table = {
  ...TIMM_SWIN_BLOCKS,
  'layers.{s}.downsample.norm.*': 'layers.{s-1}.downsample.norm.*',
  'layers.{s}.downsample.reduction.*': 'layers.{s-1}.downsample.reduction.*',
  'head.fc.*': 'head.*',
};

const HF_VIT: Table = {
  cls_token: '{p}embeddings.cls_token',
  dist_token: '{p}embeddings.distillation_token',
  pos_embed: '{p}embeddings.position_embeddings',
  'patch_embed.proj.*': '{p}embeddings.patch_embeddings.projection.*',
  'norm.*': '{p}layernorm.*',
};

const ONE_HEAD: Table = { 'head.*': 'classifier.*' };
const TWO_HEADS: Table = {
  'head.*': 'cls_classifier.*',
  'head_dist.*': 'distillation_classifier.*',
};

const HF_SWIN: Table = {
  'patch_embed.proj.*': '{p}embeddings.patch_embeddings.projection.*',
  'patch_embed.norm.*': '{p}embeddings.norm.*',
  'layers.{s}.downsample.norm.*': '{p}encoder.layers.{s-1}.downsample.norm.*',
  'layers.{s}.downsample.reduction.*': '{p}encoder.layers.{s-1}.downsample.reduction.*',
  'norm.*': '{p}layernorm.*',
  'head.fc.*': 'classifier.*',
};

const HF_VIT_FILE = { ...HF_VIT, ...hfBlock('blocks.{b}', '{p}encoder.layer.{b}', 'attention') };
const HF_VIT_MEMORY = { ...HF_VIT, ...hf5Block('blocks.{b}', '{p}layers.{b}') };

const HF_SWIN_FILE: Table = {
  ...HF_SWIN,
  ...hfBlock('layers.{s}.blocks.{b}', '{p}encoder.layers.{s}.blocks.{b}', 'self'),
  'layers.{s}.blocks.{b}.attn.relative_position_bias_table':
    '{p}encoder.layers.{s}.blocks.{b}.attention.self.relative_position_bias_table',
};

const HF_SWIN_MEMORY: Table = {
  ...HF_SWIN,
  ...hf5Block('layers.{s}.blocks.{b}', '{p}encoder.layers.{s}.blocks.{b}'),
  'layers.{s}.blocks.{b}.attn.relative_position_bias_table':
    '{p}encoder.layers.{s}.blocks.{b}.attention.relative_position_bias.relative_position_bias_table',
};

const TORCHVISION_VIT: Table = {
  cls_token: 'class_token',
  pos_embed: 'encoder.pos_embedding',
  'patch_embed.proj.*': 'conv_proj.*',
  'blocks.{b}.norm1.*': 'encoder.layers.encoder_layer_{b}.ln_1.*',
  'blocks.{b}.attn.qkv.*': 'encoder.layers.encoder_layer_{b}.self_attention.in_proj_*',
  'blocks.{b}.attn.proj.*': 'encoder.layers.encoder_layer_{b}.self_attention.out_proj.*',
  'blocks.{b}.norm2.*': 'encoder.layers.encoder_layer_{b}.ln_2.*',
  'norm.*': 'encoder.ln.*',
  'head.*': 'heads.head.*',
};

const TORCHVISION_SWIN: Table = {
  'patch_embed.proj.*': 'features.0.0.*',
  'patch_embed.norm.*': 'features.0.2.*',
  'layers.{s}.blocks.{b}.norm1.*': 'features.{2s+1}.{b}.norm1.*',
  'layers.{s}.blocks.{b}.attn.relative_position_bias_table':
    'features.{2s+1}.{b}.attn.relative_position_bias_table',
  'layers.{s}.blocks.{b}.attn.qkv.*': 'features.{2s+1}.{b}.attn.qkv.*',
  'layers.{s}.blocks.{b}.attn.proj.*': 'features.{2s+1}.{b}.attn.proj.*',
  'layers.{s}.blocks.{b}.norm2.*': 'features.{2s+1}.{b}.norm2.*',
  'layers.{s}.blocks.{b}.mlp.fc1.*': 'features.{2s+1}.{b}.mlp.0.*',
  'layers.{s}.blocks.{b}.mlp.fc2.*': 'features.{2s+1}.{b}.mlp.3.*',
  'layers.{s}.downsample.norm.*': 'features.{2s}.norm.*',
  'layers.{s}.downsample.reduction.*': 'features.{2s}.reduction.*',
  'norm.*': 'norm.*',
  'head.fc.*': 'head.*',
};

const VIT_SIGN = ['patch_embed.proj.weight', 'blocks.0.norm1.weight', 'blocks.0.mlp.fc1.weight'];
const SWIN_SIGN = ['patch_embed.proj.weight', 'layers.0.blocks.0.norm1.weight'];
const VIT_PREFIXES = ['vit.', 'deit.', ''];
const SWIN_PREFIXES = ['swin.', ''];
const POOLER = [/^((vit|deit|swin)\.)?pooler\./];
/** What one of DeiT's models has and the other has no use for. */
const OTHER_HEADS = [...POOLER, /^(classifier|cls_classifier|distillation_classifier)\./];
const SWIN_BUFFERS = [/\.relative_position_index$/, /\.attn_mask$/];
const HF_SWIN_EXTRA = [...POOLER, ...SWIN_BUFFERS];

/** Every layout; the first whose sign a file has is the file's. */
export const LAYOUTS: readonly Layout[] = [
  ...hfVit(HF_VIT_FILE),
  ...hfVit(HF_VIT_MEMORY),
  hfSwin(HF_SWIN_FILE, 'attn.qkv.weight'),
  hfSwin(HF_SWIN_MEMORY, 'attn.qkv.weight'),
  torchvisionVit('mlp.0', 'mlp.3'),
  torchvisionVit('mlp.linear_1', 'mlp.linear_2'), // torchvision 0.12
  plain('torchvision', 'swin', TORCHVISION_SWIN, SWIN_SIGN, SWIN_BUFFERS),
  plain('timm', 'vit', TIMM_VIT, VIT_SIGN, []),
  plain('timm', 'swin', FORMER_SWIN, formerSign(), SWIN_BUFFERS),
  plain('timm', 'swin', TIMM_SWIN, SWIN_SIGN, SWIN_BUFFERS),
];

/** The layout in which a naming is written. Throws for none: every pair of the type is in the list. */
export function writtenLayout(
  naming: 'hugging-face' | 'timm',
  config: ModelConfig,
): Layout & { readonly prefix: string } {
  if (config.family === 'swin') {
    return naming === 'timm'
      ? { ...plain('timm', 'swin', TIMM_SWIN, SWIN_SIGN, []), prefix: '' }
      : { ...hfSwin(HF_SWIN_FILE, 'attn.qkv.weight'), prefix: 'swin.' };
  }
  if (naming === 'timm') return { ...plain('timm', 'vit', TIMM_VIT, VIT_SIGN, []), prefix: '' };
  const { distilled = false, distilledHead = distilled } = config;
  const [two, one] = hfVit(HF_VIT_FILE);
  return { ...(distilledHead ? two : one), prefix: distilled ? 'deit.' : 'vit.' };
}

function same(names: readonly string[]): Table {
  return Object.fromEntries(names.map((name) => [name, name]));
}

/** As transformers writes files: `self` or `attention` holds query, key and value. */
function hfBlock(ours: string, theirs: string, inner: string): Table {
  const attention = `${theirs}.attention.${inner}`;
  return {
    [`${ours}.norm1.*`]: `${theirs}.layernorm_before.*`,
    [`${ours}.attn.qkv.*`]: [`${attention}.query.*`, `${attention}.key.*`, `${attention}.value.*`],
    [`${ours}.attn.proj.*`]: `${theirs}.attention.output.dense.*`,
    [`${ours}.norm2.*`]: `${theirs}.layernorm_after.*`,
    [`${ours}.mlp.fc1.*`]: `${theirs}.intermediate.dense.*`,
    [`${ours}.mlp.fc2.*`]: `${theirs}.output.dense.*`,
  };
}

/** As transformers 5 names them in memory. */
function hf5Block(ours: string, theirs: string): Table {
  return {
    [`${ours}.norm1.*`]: `${theirs}.layernorm_before.*`,
    [`${ours}.attn.qkv.*`]: ['q_proj', 'k_proj', 'v_proj'].map(
      (part) => `${theirs}.attention.${part}.*`,
    ),
    [`${ours}.attn.proj.*`]: `${theirs}.attention.o_proj.*`,
    [`${ours}.norm2.*`]: `${theirs}.layernorm_after.*`,
    [`${ours}.mlp.fc1.*`]: `${theirs}.mlp.fc1.*`,
    [`${ours}.mlp.fc2.*`]: `${theirs}.mlp.fc2.*`,
  };
}

/** With both of DeiT's classifiers, and with one. */
function hfVit(names: Table): readonly [two: Layout, one: Layout] {
  const shared = { naming: 'hugging-face', family: 'vit', prefixes: VIT_PREFIXES } as const;
  const sign = [...VIT_SIGN, 'blocks.0.attn.qkv.weight'];
  const two = { ...names, ...TWO_HEADS };
  const one = { ...names, ...ONE_HEAD };
  return [
    { ...shared, names: two, sign: [...sign, 'head_dist.weight'], ignored: OTHER_HEADS },
    { ...shared, names: one, sign, ignored: OTHER_HEADS },
  ];
}

function hfSwin(names: Table, inside: string): Layout {
  const sign = [...SWIN_SIGN, `layers.0.blocks.0.${inside}`];
  const shared = { naming: 'hugging-face', family: 'swin', prefixes: SWIN_PREFIXES } as const;
  return { ...shared, names, sign, ignored: HF_SWIN_EXTRA };
}

function torchvisionVit(fc1: string, fc2: string): Layout {
  const block = 'encoder.layers.encoder_layer_{b}';
  const names = {
    ...TORCHVISION_VIT,
    'blocks.{b}.mlp.fc1.*': `${block}.${fc1}.*`,
    'blocks.{b}.mlp.fc2.*': `${block}.${fc2}.*`,
  };
  return plain('torchvision', 'vit', names, VIT_SIGN, []);
}

function formerSign(): readonly string[] {
  return [...SWIN_SIGN, 'layers.1.downsample.reduction.weight'];
}

function plain(
  naming: NamingName,
  family: Layout['family'],
  names: Table,
  sign: readonly string[],
  ignored: readonly RegExp[],
): Layout {
  return { naming, family, names, prefixes: [''], sign, ignored };
}
