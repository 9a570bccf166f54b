/** How pictures are prepared for a residual network of which nothing says it. */
import {
  defaultPreprocess,
  imagenetMean,
  imagenetStd,
  type Preprocess,
} from '../../data/preprocess.js';
import type { NamingName } from '../naming.js';
import type { ResNetConfig } from './schema.js';

/**
 * ImageNet's mean and standard deviation. timm resizes bicubic and keeps 95 % of the shortest edge (its a1 recipe);
 * torchvision's weights, under the same names, were trained with 256 → 224, bilinear. transformers has the
 * processor of ConvNeXt.
 */
export function resNetPreprocess(
  naming: NamingName,
  { imageSize: size }: ResNetConfig,
): Preprocess {
  const base = { ...defaultPreprocess, size, mean: imagenetMean, std: imagenetStd };
  switch (naming) {
    case 'hugging-face':
      return { ...base, cropPercentage: 0.875 };
    case 'torchvision':
      return {
        ...base,
        cropPercentage: size / Math.floor((size * 256) / 224),
        edge: Math.floor((size * 256) / 224),
        filter: 'bilinear',
      };
    case 'timm':
    case 'arch':
    case 'thimble':
      return { ...base, cropPercentage: 0.95 };
    default:
      return naming satisfies never;
  }
}
