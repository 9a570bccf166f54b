/** A residual network as transformers describes it. */
import type { ExportUse } from '../family.js';
import { expectLarge } from './names.js';
import { BOTTLENECK, type ResNetConfig } from './schema.js';

/**
 * config.json of ResNet. Throws ConfigError for the weights of a network for small images, which transformers does
 * not have; a graph of one runs by itself.
 */
export function resNetTransformersConfig(
  config: ResNetConfig,
  shared: object,
  use: ExportUse,
): object {
  if (use === 'weights') expectLarge(config);
  const { imageSize, channels, stemWidth, block, depths, widths } = config;
  const factor = block === 'basic' ? 1 : BOTTLENECK;
  return {
    architectures: ['ResNetForImageClassification'],
    model_type: 'resnet',
    image_size: imageSize,
    num_channels: channels,
    ...shared,
    embedding_size: stemWidth,
    hidden_sizes: widths.map((width) => factor * width),
    depths,
    layer_type: block,
    hidden_act: 'relu',
    downsample_in_first_stage: false,
  };
}
