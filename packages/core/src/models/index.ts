/**
 * The models by name, and the builder of each family. A new family is a builder here, a member of
 * ModelConfig and its presets in MODELS; whoever builds a model goes through `buildModel`.
 */
import type { ModelGraph } from '../ir/graph.js';
import { lookUp } from '../names.js';
import { field, type Reader } from '../schema/index.js';
import type { BuildOptions } from './options.js';
import { swin, swinImageSizeRule, swinReader, type SwinConfig } from './swin/model.js';
import { SWIN_PRESETS } from './swin/presets.js';
import { vit, vitImageSizeRule, vitReader, type VitConfig } from './vit/model.js';
import { VIT_PRESETS } from './vit/presets.js';

/** The configuration of any model; `family` tells which. */
export type ModelConfig = VitConfig | SwinConfig;

/** A configuration that `buildModel` can build. */
export const modelReader: Reader<ModelConfig> = (value, place) =>
  field(value, 'family') === 'swin' ? swinReader(value, place) : vitReader(value, place);

export { SWIN_PRESETS, VIT_PRESETS };

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
