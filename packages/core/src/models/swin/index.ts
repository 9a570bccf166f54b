/** The family of Swin transformers. */
import type { Family } from '../family.js';
import { TRANSFORMER_REASONS } from '../transformer-reasons.js';
import { swinConfigure } from './config.js';
import { swinDescribe } from './describe.js';
import { swin, swinImageSizeRule, swinReader, type SwinConfig } from './model.js';
import { SWIN_LAYOUTS, swinWrittenLayout } from './names.js';
import { swinPreprocess } from './preprocess.js';
import { SWIN_PRESETS } from './presets.js';
import { swinTransformersConfig } from './transformers.js';

export const swinFamily = {
  kinds: { one: ['Swin transformer'], many: ['Swin transformers'] },
  presets: SWIN_PRESETS,
  reader: swinReader,
  build: swin,
  imageSizeRule: swinImageSizeRule,
  describe: swinDescribe,
  untold: ['layerNormEps'],
  layouts: SWIN_LAYOUTS,
  writtenLayout: swinWrittenLayout,
  reasons: TRANSFORMER_REASONS,
  transformersTypes: { swin: 'ViT' },
  timmArchitectures: /^swin/,
  configure: swinConfigure,
  preprocess: swinPreprocess,
  transformersConfig: swinTransformersConfig,
} as const satisfies Family<SwinConfig>;
