/**
 * The models by name, and the builder of each family. A new family is a builder here, a member of
 * ModelConfig and its presets in MODELS; whoever builds a model goes through `buildModel`.
 */
import type { ModelGraph } from '../ir/graph.js';
import { lookUp } from '../names.js';
import { field, type Reader } from '../schema/index.js';
import type { BuildOptions } from './options.js';
import { swin, swinImageSizeRule, swinReader, type SwinConfig } from './swin.js';
import { vit, vitImageSizeRule, vitReader, type VitConfig } from './vit.js';

/** The configuration of any model; `family` tells which. */
export type ModelConfig = VitConfig | SwinConfig;

/** A configuration that `buildModel` can build. */
export const modelReader: Reader<ModelConfig> = (value, place) =>
  field(value, 'family') === 'swin' ? swinReader(value, place) : vitReader(value, place);

const BASE = {
  family: 'vit',
  channels: 3,
  mlpRatio: 4,
  classes: 1000,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
} as const;

/** Configurations of known size; `classes` follows from the data. */
export const VIT_PRESETS = {
  'vit-micro': { ...BASE, imageSize: 32, patch: 4, width: 128, depth: 6, heads: 4 },
  'vit-tiny-16': { ...BASE, imageSize: 224, patch: 16, width: 192, depth: 12, heads: 3 },
  'vit-small-16': { ...BASE, imageSize: 224, patch: 16, width: 384, depth: 12, heads: 6 },
  'vit-base-32': { ...BASE, imageSize: 224, patch: 32, width: 768, depth: 12, heads: 12 },
  'vit-base-16': { ...BASE, imageSize: 224, patch: 16, width: 768, depth: 12, heads: 12 },
} as const satisfies Record<string, VitConfig>;

const SWIN_BASE = {
  family: 'swin',
  channels: 3,
  mlpRatio: 4,
  classes: 1000,
  layerNormEps: 1e-5,
} as const;

export const SWIN_PRESETS = {
  'swin-micro': {
    ...SWIN_BASE,
    imageSize: 32,
    patch: 2,
    width: 64,
    depths: [2, 4],
    heads: [2, 4],
    window: 4,
  },
  'swin-tiny': {
    ...SWIN_BASE,
    imageSize: 224,
    patch: 4,
    width: 96,
    depths: [2, 2, 6, 2],
    heads: [3, 6, 12, 24],
    window: 7,
  },
} as const satisfies Record<string, SwinConfig>;

/** Every preset. */
export const MODELS = { ...VIT_PRESETS, ...SWIN_PRESETS } as const satisfies Record<
  string,
  ModelConfig
>;

export type ModelName = keyof typeof MODELS;

/** The preset called `name`. Throws UnknownNameError with the nearest name. */
export function modelConfig(name: string): ModelConfig {
  return lookUp<ModelConfig>('model', name, MODELS);
}

/**
 * The forward graph of `config`: inputs `images` [B, C, S, S] and `labels` [B], outputs `logits` and
 * `loss`. Throws ConfigError for a configuration that cannot be built.
 */
export function buildModel(config: ModelConfig, options: BuildOptions): ModelGraph {
  return config.family === 'swin' ? swin(config, options) : vit(config, options);
}

/** What the side of `config`'s images has to be where it is not; null when it fits. */
export function imageSizeRule(config: ModelConfig): string | null {
  return config.family === 'swin' ? swinImageSizeRule(config) : vitImageSizeRule(config);
}
