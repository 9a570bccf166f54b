/** The family of vision transformers: ViT, and DeiT with its distillation token. */
import type { Family } from '../family.js';
import { TRANSFORMER_REASONS } from '../transformer-reasons.js';
import { vitConfigure } from './config.js';
import { vitDescribe } from './describe.js';
import { vit, vitImageSizeRule, vitReader, type VitConfig } from './model.js';
import { VIT_LAYOUTS, vitWrittenLayout } from './names.js';
import { vitPreprocess } from './preprocess.js';
import { VIT_PRESETS } from './presets.js';
import { vitTransformersConfig } from './transformers.js';

export const vitFamily = {
  kinds: { one: ['ViT', 'DeiT'], many: ['ViT', 'DeiT'] },
  presets: VIT_PRESETS,
  reader: vitReader,
  build: vit,
  imageSizeRule: vitImageSizeRule,
  describe: vitDescribe,
  untold: ['heads', 'layerNormEps'],
  layouts: VIT_LAYOUTS,
  writtenLayout: vitWrittenLayout,
  reasons: TRANSFORMER_REASONS,
  transformersTypes: { vit: 'ViT', vit_msn: 'ViT', deit: 'DeiT' },
  timmArchitectures: /^(vit|deit)/,
  configure: vitConfigure,
  preprocess: vitPreprocess,
  transformersConfig: vitTransformersConfig,
} as const satisfies Family<VitConfig>;
