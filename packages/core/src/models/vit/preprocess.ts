/** How pictures are prepared for a ViT of which nothing says it. */
import {
  defaultPreprocess,
  imagenetMean,
  imagenetStd,
  type Preprocess,
} from '../../data/preprocess.js';
import type { NamingName } from '../naming.js';
import type { VitConfig } from './model.js';

/**
 * timm's ViT as augreg (mean and std 1/2, crop 0.9), its DeiT with ImageNet's mean and std; the image
 * processor of transformers; the weights of torchvision, of 256 → 224.
 */
export function vitPreprocess(
  naming: NamingName,
  { imageSize: size, distilled = false }: VitConfig,
): Preprocess {
  const base = { ...defaultPreprocess, size };
  const imagenet = { mean: imagenetMean, std: imagenetStd };
  switch (naming) {
    case 'hugging-face':
      return { ...base, resize: 'squash', filter: 'bilinear', cropPercentage: 1 };
    case 'torchvision': {
      const edge = Math.floor((size * 256) / 224);
      return { ...base, ...imagenet, cropPercentage: size / edge, edge, filter: 'bilinear' };
    }
    case 'timm':
    case 'arch':
    case 'thimble':
      return distilled ? { ...base, ...imagenet } : base;
    default:
      return naming satisfies never;
  }
}
