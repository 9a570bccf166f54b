/** The family of vision transformers: ViT, and DeiT with its distillation token. */
import type { Family } from '../family.js';
import { vit, vitImageSizeRule, vitReader, type VitConfig } from './model.js';
import { VIT_LAYOUTS, vitWrittenLayout } from './names.js';
import { vitPreprocess } from './preprocess.js';
import { VIT_PRESETS } from './presets.js';
import { vitTransformersConfig } from './transformers.js';

export const vitFamily = {
  presets: VIT_PRESETS,
  reader: vitReader,
  build: vit,
  imageSizeRule: vitImageSizeRule,
  layouts: VIT_LAYOUTS,
  writtenLayout: vitWrittenLayout,
  transformersTypes: { vit: 'ViT', vit_msn: 'ViT', deit: 'DeiT' },
  preprocess: vitPreprocess,
  transformersConfig: vitTransformersConfig,
} as const satisfies Family<VitConfig>;
