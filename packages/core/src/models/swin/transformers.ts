/** A Swin transformer as transformers describes it. */
import { transformersShape } from '../transformer-config.js';
import type { SwinConfig } from './model.js';

/** config.json of Swin. */
export function swinTransformersConfig(config: SwinConfig, shared: object): object {
  const { width, depths, heads, window, mlpRatio } = config;
  return {
    architectures: ['SwinForImageClassification'],
    model_type: 'swin',
    ...transformersShape(config),
    ...shared,
    embed_dim: width,
    depths,
    num_heads: heads,
    num_layers: depths.length,
    hidden_size: width * 2 ** (depths.length - 1),
    window_size: window,
    mlp_ratio: mlpRatio,
    use_absolute_embeddings: false,
  };
}
