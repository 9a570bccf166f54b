/**
 * Where timm, transformers and torchvision keep the parameters of a ViT (`naming.ts`).
 *
 * Sources: timm.models.vision_transformer, deit; transformers.models.vit, deit (and conversion_mapping for
 * the names of its version 5); torchvision.models.vision_transformer.
 */
import {
  namesOf,
  same,
  type Layout,
  type PlacedLayout,
  type Table,
  type WrittenNaming,
} from '../naming.js';
import { BLOCK, memoryBlock, POOLER, writtenBlock } from '../transformer-names.js';
import type { VitConfig } from './model.js';

const SIGN = ['patch_embed.proj.weight', 'blocks.0.norm1.weight', 'blocks.0.mlp.fc1.weight'];

const TIMM: Layout = {
  naming: 'timm',
  names: namesOf(
    same([
      ...['cls_token', 'dist_token', 'pos_embed', 'patch_embed.proj.*'],
      ...BLOCK.map((name) => `blocks.{b}.${name}`),
      ...['norm.*', 'fc_norm.*', 'head.*', 'head_dist.*'],
    ]),
  ),
  prefixes: [''],
  sign: SIGN,
  ignored: [],
};

const TRANSFORMERS: Table = {
  cls_token: '{p}embeddings.cls_token',
  dist_token: '{p}embeddings.distillation_token',
  pos_embed: '{p}embeddings.position_embeddings',
  'patch_embed.proj.*': '{p}embeddings.patch_embeddings.projection.*',
  'norm.*': '{p}layernorm.*',
};
const FILE = {
  ...TRANSFORMERS,
  ...writtenBlock('blocks.{b}', '{p}encoder.layer.{b}', 'attention'),
};
const MEMORY = { ...TRANSFORMERS, ...memoryBlock('blocks.{b}', '{p}layers.{b}') };

const ONE_HEAD: Table = { 'head.*': 'classifier.*' };
const TWO_HEADS: Table = {
  'head.*': 'cls_classifier.*',
  'head_dist.*': 'distillation_classifier.*',
};
/** What one of DeiT's models has and the other has no use for. */
const OTHER_HEADS = [POOLER, /^(classifier|cls_classifier|distillation_classifier)\./];

export const VIT_LAYOUTS: readonly Layout[] = [
  ...transformers(FILE),
  ...transformers(MEMORY),
  torchvision('mlp.0', 'mlp.3'),
  torchvision('mlp.linear_1', 'mlp.linear_2'), // torchvision 0.12
  TIMM,
];

/** The layout in which the weights of `config` are written under names of `naming`. */
export function vitWrittenLayout(naming: WrittenNaming, config: VitConfig): PlacedLayout {
  if (naming === 'timm') return { ...TIMM, prefix: '' };
  const { distilled = false, distilledHead = distilled } = config;
  const [two, one] = transformers(FILE);
  return { ...(distilledHead ? two : one), prefix: distilled ? 'deit.' : 'vit.' };
}

/** With both of DeiT's classifiers, and with one. */
function transformers(names: Table): readonly [two: Layout, one: Layout] {
  const shared = {
    naming: 'hugging-face',
    prefixes: ['vit.', 'deit.', ''],
    ignored: OTHER_HEADS,
  } as const;
  const sign = [...SIGN, 'blocks.0.attn.qkv.weight'];
  return [
    {
      ...shared,
      names: namesOf({ ...names, ...TWO_HEADS }),
      sign: [...sign, 'head_dist.weight'],
    },
    { ...shared, names: namesOf({ ...names, ...ONE_HEAD }), sign },
  ];
}

/** @param fc1 the name of an MLP's first linear, @param fc2 of its second */
function torchvision(fc1: string, fc2: string): Layout {
  const block = 'encoder.layers.encoder_layer_{b}';
  const names: Table = {
    cls_token: 'class_token',
    pos_embed: 'encoder.pos_embedding',
    'patch_embed.proj.*': 'conv_proj.*',
    'blocks.{b}.norm1.*': `${block}.ln_1.*`,
    'blocks.{b}.attn.qkv.*': `${block}.self_attention.in_proj_*`,
    'blocks.{b}.attn.proj.*': `${block}.self_attention.out_proj.*`,
    'blocks.{b}.norm2.*': `${block}.ln_2.*`,
    'blocks.{b}.mlp.fc1.*': `${block}.${fc1}.*`,
    'blocks.{b}.mlp.fc2.*': `${block}.${fc2}.*`,
    'norm.*': 'encoder.ln.*',
    'head.*': 'heads.head.*',
  };
  return { naming: 'torchvision', names: namesOf(names), prefixes: [''], sign: SIGN, ignored: [] };
}
