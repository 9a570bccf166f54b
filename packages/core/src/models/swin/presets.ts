/** Swin transformers of known size; `classes` follows from the data. */
import type { SwinConfig } from './model.js';

const BASE = {
  family: 'swin',
  channels: 3,
  mlpRatio: 4,
  classes: 1000,
  layerNormEps: 1e-5,
} as const;

/** Swin transformers of known size. */
export const SWIN_PRESETS = {
  'swin-micro': {
    ...BASE,
    imageSize: 32,
    patch: 2,
    width: 64,
    depths: [2, 4],
    heads: [2, 4],
    window: 4,
  },
  'swin-tiny': {
    ...BASE,
    imageSize: 224,
    patch: 4,
    width: 96,
    depths: [2, 2, 6, 2],
    heads: [3, 6, 12, 24],
    window: 7,
  },
} as const satisfies Record<string, SwinConfig>;
