/** A network of inverted residuals as transformers describes it. */
import type { ExportUse } from '../family.js';
import { noPlace } from '../naming.js';
import { hasStructure } from './names.js';
import { MOBILENET_PRESETS } from './presets.js';
import type { MobileNetConfig } from './schema.js';

/**
 * config.json of MobileNetV2 or EfficientNet-B0. Throws ConfigError for weights of a network that transformers does
 * not have: other blocks or widths, folded batch norms, for EfficientNet PyTorch's padding. A graph runs by itself
 * under the name of MobileNetV2.
 */
export function mobileNetTransformersConfig(
  config: MobileNetConfig,
  shared: object,
  use: ExportUse,
): object {
  const { imageSize, channels, padding, batchNorm } = config;
  const isEfficient = isWide(config, 'efficientnet-b0');
  const isKnown = isEfficient ? padding === 'same' : isWide(config, 'mobilenet-v2');
  if (use === 'weights' && !(isKnown && batchNorm)) {
    throw noPlace('hugging-face', 'blocks, widths or padding as these');
  }
  const sizes = { image_size: imageSize, num_channels: channels };
  if (isEfficient) {
    return {
      architectures: ['EfficientNetForImageClassification'],
      model_type: 'efficientnet',
      ...sizes,
      ...shared,
      width_coefficient: 1,
      depth_coefficient: 1,
      hidden_dim: 1280,
      hidden_act: 'swish',
      batch_norm_eps: batchNorm?.eps ?? 1e-3,
      dropout_rate: 0,
      drop_connect_rate: 0,
    };
  }
  return {
    architectures: ['MobileNetV2ForImageClassification'],
    model_type: 'mobilenet_v2',
    ...sizes,
    ...shared,
    depth_multiplier: 1,
    hidden_act: 'relu6',
    tf_padding: padding === 'same',
    layer_norm_eps: batchNorm?.eps ?? 1e-3,
    classifier_dropout_prob: 0,
  };
}

/** Whether it is the network of that name, at its own widths. */
function isWide(config: MobileNetConfig, name: keyof typeof MOBILENET_PRESETS): boolean {
  const preset = MOBILENET_PRESETS[name];
  const widths = ({ stem, stages, tail }: MobileNetConfig) =>
    [stem, ...stages.flat(), tail].map((layer) => layer?.width).join();
  return hasStructure(config, preset) && widths(config) === widths(preset);
}
