/** Residual networks of known size; `classes` follows from the data. */
import { PYTORCH_NORM } from '../batch-norm.js';
import type { ResNetConfig } from './schema.js';

const LARGE = {
  family: 'resnet',
  imageSize: 224,
  channels: 3,
  classes: 1000,
  batchNorm: PYTORCH_NORM,
  stem: 'large',
  stemWidth: 64,
  widths: [64, 128, 256, 512],
} as const;

/** Residual networks of known size. */
export const RESNET_PRESETS = {
  'resnet-18': { ...LARGE, block: 'basic', depths: [2, 2, 2, 2] },
  'resnet-34': { ...LARGE, block: 'basic', depths: [3, 4, 6, 3] },
  'resnet-50': { ...LARGE, block: 'bottleneck', depths: [3, 4, 6, 3] },
  /** For images of CIFAR's size. */
  'resnet-20': {
    ...LARGE,
    ...{ imageSize: 32, stem: 'small', stemWidth: 16, widths: [16, 32, 64] },
    ...{ block: 'basic', depths: [3, 3, 3] },
  },
} as const satisfies Record<string, ResNetConfig>;
