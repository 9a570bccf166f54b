/** How pictures are prepared for a Swin transformer of which nothing says it. */
import {
  defaultPreprocess,
  imagenetMean,
  imagenetStd,
  type Preprocess,
} from '../../data/preprocess.js';
import type { NamingName } from '../naming.js';
import type { SwinConfig } from './model.js';

/**
 * timm's with ImageNet's mean and std; the image processor of transformers, resized by the filter of Swin's
 * files; the weights of torchvision, of 232 → 224.
 */
export function swinPreprocess(naming: NamingName, { imageSize: size }: SwinConfig): Preprocess {
  const base = { ...defaultPreprocess, size };
  const imagenet = { mean: imagenetMean, std: imagenetStd };
  switch (naming) {
    case 'hugging-face':
      return { ...base, resize: 'squash', filter: 'bicubic', cropPercentage: 1 };
    case 'torchvision': {
      const edge = Math.floor((size * 232) / 224);
      return { ...base, ...imagenet, cropPercentage: size / edge, edge, filter: 'bicubic' };
    }
    case 'timm':
    case 'arch':
    case 'thimble':
      return { ...base, ...imagenet };
    default:
      return naming satisfies never;
  }
}
