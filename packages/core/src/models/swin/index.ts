/** The family of Swin transformers. */
import type { Family } from '../family.js';
import { swin, swinImageSizeRule, swinReader, type SwinConfig } from './model.js';
import { SWIN_LAYOUTS, swinWrittenLayout } from './names.js';
import { swinPreprocess } from './preprocess.js';
import { SWIN_PRESETS } from './presets.js';
import { swinTransformersConfig } from './transformers.js';

export const swinFamily = {
  presets: SWIN_PRESETS,
  reader: swinReader,
  build: swin,
  imageSizeRule: swinImageSizeRule,
  layouts: SWIN_LAYOUTS,
  writtenLayout: swinWrittenLayout,
  transformersTypes: { swin: 'ViT' },
  preprocess: swinPreprocess,
  transformersConfig: swinTransformersConfig,
} as const satisfies Family<SwinConfig>;
