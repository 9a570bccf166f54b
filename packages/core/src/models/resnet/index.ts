/** The family of residual networks. */
import { CONVOLUTION_REASONS } from '../convolution-reasons.js';
import type { Family } from '../family.js';
import { resNetConfigure } from './configure.js';
import { resNetDescribe } from './describe.js';
import { resNet } from './model.js';
import { RESNET_LAYOUTS, resNetWrittenLayout } from './names.js';
import { resNetPreprocess } from './preprocess.js';
import { RESNET_PRESETS } from './presets.js';
import { resNetImageSizeRule, resNetReader, type ResNetConfig } from './schema.js';
import { resNetTransformersConfig } from './transformers.js';

export const resNetFamily = {
  kinds: { one: ['ResNet'], many: ['ResNets'] },
  presets: RESNET_PRESETS,
  reader: resNetReader,
  build: resNet,
  imageSizeRule: resNetImageSizeRule,
  describe: resNetDescribe,
  untold: ['batchNorm'],
  layouts: RESNET_LAYOUTS,
  writtenLayout: resNetWrittenLayout,
  reasons: CONVOLUTION_REASONS,
  transformersTypes: { resnet: 'ConvNext' },
  timmArchitectures: /^resnet\d+/,
  configure: resNetConfigure,
  preprocess: resNetPreprocess,
  transformersConfig: resNetTransformersConfig,
} as const satisfies Family<ResNetConfig>;
