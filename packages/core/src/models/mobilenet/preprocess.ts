/** How pictures are prepared for a network of inverted residuals of which nothing says it. */
import {
  defaultPreprocess,
  imagenetMean,
  imagenetStd,
  type Preprocess,
} from '../../data/preprocess.js';
import type { NamingName } from '../naming.js';
import type { MobileNetConfig } from './schema.js';

/** As timm's recipes: seven eighths of the shortest edge. */
const CROP = 0.875;

/**
 * ImageNet's mean and standard deviation as PyTorch's models have them, 1/2 and 1/2 as TensorFlow's; bicubic as timm
 * resizes, bilinear as torchvision and transformers (256 → 224).
 */
export function mobileNetPreprocess(
  naming: NamingName,
  { imageSize: size, padding, batchNorm }: MobileNetConfig,
): Preprocess {
  const base = { ...defaultPreprocess, size, cropPercentage: CROP };
  const imagenet = { mean: imagenetMean, std: imagenetStd };
  switch (naming) {
    case 'hugging-face':
      return { ...base, filter: 'bilinear' };
    case 'torchvision': {
      const edge = Math.floor((size * 256) / 224);
      return { ...base, ...imagenet, cropPercentage: size / edge, edge, filter: 'bilinear' };
    }
    case 'arch':
      return { ...base, filter: 'bilinear' };
    case 'timm':
    case 'thimble':
      return padding === 'same' || !batchNorm ? base : { ...base, ...imagenet };
    default:
      return naming satisfies never;
  }
}
