/** Vision transformers of known size; `classes` follows from the data. */
import type { VitConfig } from './model.js';

const BASE = {
  family: 'vit',
  channels: 3,
  mlpRatio: 4,
  classes: 1000,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
} as const;

/** Vision transformers of known size. */
export const VIT_PRESETS = {
  'vit-micro': { ...BASE, imageSize: 32, patch: 4, width: 128, depth: 6, heads: 4 },
  'vit-tiny-16': { ...BASE, imageSize: 224, patch: 16, width: 192, depth: 12, heads: 3 },
  'vit-small-16': { ...BASE, imageSize: 224, patch: 16, width: 384, depth: 12, heads: 6 },
  'vit-base-32': { ...BASE, imageSize: 224, patch: 32, width: 768, depth: 12, heads: 12 },
  'vit-base-16': { ...BASE, imageSize: 224, patch: 16, width: 768, depth: 12, heads: 12 },
} as const satisfies Record<string, VitConfig>;
