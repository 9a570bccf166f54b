/**
 * The families of models in one table, and what is asked of a model whatever its family. A new family is
 * a folder with its record (`family.ts`) and a line in FAMILIES.
 */
import type { ModelGraph } from '../ir/graph.js';
import { lookUp } from '../names.js';
import { field, isObject, oneOf, type Read, type Reader } from '../schema/index.js';
import type { Family } from './family.js';
import type { Kinds } from './evidence.js';
import { mobileNetFamily } from './mobilenet/index.js';
import type { BuildOptions } from './options.js';
import { resNetFamily } from './resnet/index.js';
import { swinFamily } from './swin/index.js';
import { vitFamily } from './vit/index.js';

/** Every family, by the `family` of its configurations. */
export const FAMILIES = {
  vit: vitFamily,
  swin: swinFamily,
  mobilenet: mobileNetFamily,
  resnet: resNetFamily,
} as const;

/** Name of a family of models. */
export type FamilyName = keyof typeof FAMILIES;
type AnyFamily = (typeof FAMILIES)[FamilyName];

/** The configuration of any model; `family` tells which. */
export type ModelConfig = Read<AnyFamily['reader']>;

/** The record of the family of `config`. */
export function familyOf(config: ModelConfig): Family<ModelConfig> {
  return FAMILIES[config.family];
}

/** The models that there are, in words. */
export const KINDS: Kinds = {
  one: inWords(
    Object.values(FAMILIES).flatMap(({ kinds }) => kinds.one),
    'or',
  ),
  many: inWords(
    Object.values(FAMILIES).flatMap(({ kinds }) => kinds.many),
    'and',
  ),
};

function inWords(names: readonly string[], last: string): string {
  return [names.slice(0, -1).join(', '), names.at(-1)].join(` ${last} `);
}

const FAMILY_NAMES = Object.keys(FAMILIES) as FamilyName[];
const familyName: Reader<FamilyName> = oneOf(...FAMILY_NAMES);
/** The family of configurations that say none: version 0.1.0 had no other and did not write it. */
const FIRST_FAMILY: FamilyName = 'vit';

/** A configuration that `buildModel` can build. */
export const modelReader: Reader<ModelConfig> = (value, place) => {
  const said = field(value, 'family');
  const family = said === undefined ? FIRST_FAMILY : familyName(said, place.at('family'));
  return FAMILIES[family].reader(isObject(value) ? { ...value, family } : value, place);
};

/** The members of a union together. */
type Together<U> = (U extends unknown ? (each: U) => void : never) extends (all: infer A) => void
  ? A
  : never;
type Presets = Together<AnyFamily['presets']>;

/** Every preset. */
export const MODELS = Object.fromEntries(
  Object.values(FAMILIES).flatMap(({ presets }) => Object.entries<ModelConfig>(presets)),
) as Presets;

/** Name of a preset. */
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
  return familyOf(config).build(config, options);
}

/** What the side of `config`'s images has to be where it is not; null when it fits. */
export function imageSizeRule(config: ModelConfig): string | null {
  return familyOf(config).imageSizeRule(config);
}
