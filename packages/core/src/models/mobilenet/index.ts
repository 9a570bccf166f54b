/** The family of networks of inverted residuals. */
import { CONVOLUTION_REASONS } from '../convolution-reasons.js';
import type { Family } from '../family.js';
import { mobileNetConfigure } from './configure.js';
import { mobileNetDescribe } from './describe.js';
import { mobileNet } from './model.js';
import { MOBILENET_LAYOUTS, mobileNetWrittenLayout } from './names.js';
import { mobileNetPreprocess } from './preprocess.js';
import { MOBILENET_PRESETS } from './presets.js';
import { mobileNetImageSizeRule, mobileNetReader, type MobileNetConfig } from './schema.js';
import { mobileNetTransformersConfig } from './transformers.js';

export const mobileNetFamily = {
  kinds: { one: ['MobileNet', 'EfficientNet'], many: ['MobileNets', 'EfficientNets'] },
  presets: MOBILENET_PRESETS,
  reader: mobileNetReader,
  build: mobileNet,
  imageSizeRule: mobileNetImageSizeRule,
  describe: mobileNetDescribe,
  untold: ['padding'],
  layouts: MOBILENET_LAYOUTS,
  writtenLayout: mobileNetWrittenLayout,
  reasons: CONVOLUTION_REASONS,
  transformersTypes: { mobilenet_v2: 'MobileNetV2', efficientnet: 'EfficientNet' },
  timmArchitectures: /^(tf_)?(mobilenetv[23]|efficientnet_(b0|lite0))/,
  configure: mobileNetConfigure,
  preprocess: mobileNetPreprocess,
  transformersConfig: mobileNetTransformersConfig,
} as const satisfies Family<MobileNetConfig>;
