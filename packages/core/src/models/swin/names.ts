/**
 * Where timm, transformers and torchvision keep the parameters of a Swin transformer (`naming.ts`); `{s}` is
 * a stage and `{b}` a block of it.
 *
 * Sources: timm.models.swin_transformer; transformers.models.swin (and conversion_mapping for the names of
 * its version 5); torchvision.models.swin_transformer.
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

const SIGN = ['patch_embed.proj.weight', 'layers.0.blocks.0.norm1.weight'];
const TABLE = 'attn.relative_position_bias_table';
/** Of timm and torchvision, which keep them in files. */
const BUFFERS = [/\.relative_position_index$/, /\.attn_mask$/];

const TIMM_BLOCKS = same([
  ...['patch_embed.proj.*', 'patch_embed.norm.*'],
  ...[...BLOCK, TABLE].map((name) => `layers.{s}.blocks.{b}.${name}`),
  'norm.*',
]);

const TIMM = layout('timm', {
  ...TIMM_BLOCKS,
  ...same(['layers.{s}.downsample.norm.*', 'layers.{s}.downsample.reduction.*', 'head.fc.*']),
});

/** Before timm 0.9, the published checkpoints among them: downsampling ends the stage before. */
const FORMER_TIMM: Layout = {
  ...layout('timm', {
    ...TIMM_BLOCKS,
    'layers.{s}.downsample.norm.*': 'layers.{s-1}.downsample.norm.*',
    'layers.{s}.downsample.reduction.*': 'layers.{s-1}.downsample.reduction.*',
    'head.fc.*': 'head.*',
  }),
  sign: [...SIGN, 'layers.1.downsample.reduction.weight'],
};

const OUR_BLOCK = 'layers.{s}.blocks.{b}';
const THEIR_BLOCK = '{p}encoder.layers.{s}.blocks.{b}';
const TRANSFORMERS_FILE = transformers({
  ...writtenBlock(OUR_BLOCK, THEIR_BLOCK, 'self'),
  [`${OUR_BLOCK}.${TABLE}`]: `${THEIR_BLOCK}.attention.self.relative_position_bias_table`,
});
const TRANSFORMERS_MEMORY = transformers({
  ...memoryBlock(OUR_BLOCK, THEIR_BLOCK),
  [`${OUR_BLOCK}.${TABLE}`]: `${THEIR_BLOCK}.attention.relative_position_bias.relative_position_bias_table`,
});

const TORCHVISION = layout('torchvision', {
  'patch_embed.proj.*': 'features.0.0.*',
  'patch_embed.norm.*': 'features.0.2.*',
  'layers.{s}.blocks.{b}.norm1.*': 'features.{2s+1}.{b}.norm1.*',
  [`layers.{s}.blocks.{b}.${TABLE}`]: `features.{2s+1}.{b}.${TABLE}`,
  'layers.{s}.blocks.{b}.attn.qkv.*': 'features.{2s+1}.{b}.attn.qkv.*',
  'layers.{s}.blocks.{b}.attn.proj.*': 'features.{2s+1}.{b}.attn.proj.*',
  'layers.{s}.blocks.{b}.norm2.*': 'features.{2s+1}.{b}.norm2.*',
  'layers.{s}.blocks.{b}.mlp.fc1.*': 'features.{2s+1}.{b}.mlp.0.*',
  'layers.{s}.blocks.{b}.mlp.fc2.*': 'features.{2s+1}.{b}.mlp.3.*',
  'layers.{s}.downsample.norm.*': 'features.{2s}.norm.*',
  'layers.{s}.downsample.reduction.*': 'features.{2s}.reduction.*',
  'norm.*': 'norm.*',
  'head.fc.*': 'head.*',
});

export const SWIN_LAYOUTS: readonly Layout[] = [
  TRANSFORMERS_FILE,
  TRANSFORMERS_MEMORY,
  TORCHVISION,
  FORMER_TIMM,
  TIMM,
];

const WRITTEN: { readonly [N in WrittenNaming]: PlacedLayout } = {
  timm: { ...TIMM, prefix: '' },
  'hugging-face': { ...TRANSFORMERS_FILE, prefix: 'swin.' },
};

/** The layout in which weights are written under names of `naming`. */
export function swinWrittenLayout(naming: WrittenNaming): PlacedLayout {
  return WRITTEN[naming];
}

function layout(naming: Layout['naming'], names: Table): Layout {
  return { naming, names: namesOf(names), prefixes: [''], sign: SIGN, ignored: BUFFERS };
}

/** @param blocks the names in which versions of the library differ */
function transformers(blocks: Table): Layout {
  const names: Table = {
    'patch_embed.proj.*': '{p}embeddings.patch_embeddings.projection.*',
    'patch_embed.norm.*': '{p}embeddings.norm.*',
    'layers.{s}.downsample.norm.*': '{p}encoder.layers.{s-1}.downsample.norm.*',
    'layers.{s}.downsample.reduction.*': '{p}encoder.layers.{s-1}.downsample.reduction.*',
    'norm.*': '{p}layernorm.*',
    'head.fc.*': 'classifier.*',
    ...blocks,
  };
  return {
    naming: 'hugging-face',
    names: namesOf(names),
    prefixes: ['swin.', ''],
    sign: [...SIGN, 'layers.0.blocks.0.attn.qkv.weight'],
    ignored: [POOLER, ...BUFFERS],
  };
}
