/** A ViT as transformers describes it. */
import type { ExportUse } from '../family.js';
import { noPlace } from '../naming.js';
import { transformersShape } from '../transformer-config.js';
import type { VitConfig } from './model.js';

/**
 * config.json of ViT, or of DeiT with its distillation token. Throws ConfigError for the weights of a model
 * that pools by the mean, which transformers does not have; a graph of one runs under the name of ViT.
 */
export function vitTransformersConfig(config: VitConfig, shared: object, use: ExportUse): object {
  const { width, depth, heads, mlpRatio, pooling, distilled = false } = config;
  if (pooling === 'mean' && use === 'weights') throw noPlace('hugging-face', 'fc_norm.weight');
  const { distilledHead = distilled } = config;
  const deit = distilledHead
    ? 'DeiTForImageClassificationWithTeacher'
    : 'DeiTForImageClassification';
  return {
    architectures: [distilled ? deit : 'ViTForImageClassification'],
    model_type: distilled ? 'deit' : 'vit',
    ...transformersShape(config),
    ...shared,
    hidden_size: width,
    num_hidden_layers: depth,
    num_attention_heads: heads,
    intermediate_size: Math.round(width * mlpRatio),
  };
}
