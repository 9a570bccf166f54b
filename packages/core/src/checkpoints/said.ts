/**
 * Who says something about the architecture of a checkpoint, and of which family: config.json of transformers
 * (`model_type`), config.json of timm (`architecture`, `pretrained_cfg`, also flat as timm wrote it before), arch.json,
 * Thimble's metadata (`thimble.config`, or `model`), plain words in the metadata of a bare file. What it means
 * is read by the family.
 */
import { CONFIG, metadataEntry } from '../models/documents.js';
import { unsupported, type Said } from '../models/evidence.js';
import {
  FAMILIES,
  KINDS,
  modelReader,
  MODELS,
  type FamilyName,
  type ModelConfig,
} from '../models/index.js';
import { timmFacts } from '../models/timm.js';
import { anything, object, optional, read, readValue, text } from '../schema/index.js';
import type { Sidecars } from './types.js';

export interface SaidModel {
  readonly said: Said<ModelConfig>;
  /** undefined where nothing says it. */
  readonly family: FamilyName | undefined;
}

/** Throws CheckpointError for a file that makes no sense, and for a type that no family has. */
export function saidOf(
  metadata: ReadonlyMap<string, string>,
  { config, architecture: described }: Sidecars,
): SaidModel {
  const own = saidByThimble(metadata);
  if (own) return own;
  if (described !== null && described !== undefined) {
    return { said: { by: 'arch', from: 'arch.json', file: described }, family: undefined };
  }
  if (config === null || config === undefined) {
    return { said: { by: 'words', from: 'metadata', words: metadata }, family: undefined };
  }
  const { pretrained_cfg, architecture, architectures } = readValue(config, KIND, CONFIG);
  const isTimm = pretrained_cfg !== undefined || (architecture !== undefined && !architectures);
  return isTimm ? saidByTimm(config) : saidByTransformers(config);
}

/** Fields that tell whose config.json it is. */
const KIND = object({
  pretrained_cfg: optional(anything),
  architecture: optional(anything),
  architectures: optional(anything),
});

/** True where Thimble saved the checkpoint. */
export function isThimble(metadata: ReadonlyMap<string, string>): boolean {
  if (metadata.has('thimble.config')) return true;
  return metadata.has('classes') && Object.hasOwn(MODELS, metadata.get('model') ?? '');
}

function saidByThimble(metadata: ReadonlyMap<string, string>): SaidModel | null {
  if (!isThimble(metadata)) return null;
  const stored = metadata.get('thimble.config');
  if (stored !== undefined) {
    const document = metadataEntry('thimble.config');
    const config = read(stored, modelReader, document);
    return { said: { by: 'thimble', from: document.file, config }, family: config.family };
  }
  // A run from before thimble.config says its preset; image size and classes are in the tensors.
  const presets: Readonly<Record<string, ModelConfig>> = MODELS;
  const preset = presets[metadata.get('model') ?? ''];
  const config = { ...preset, imageSize: undefined, classes: undefined };
  return { said: { by: 'thimble', from: 'metadata model', config }, family: preset.family };
}

const FAMILY_NAMES = Object.keys(FAMILIES) as FamilyName[];
const TYPED = object({ model_type: optional(text({ most: 200 })) });

function saidByTransformers(file: unknown): SaidModel {
  const { model_type: type } = readValue(file, TYPED, CONFIG);
  const said = { by: 'transformers', from: CONFIG.file, file } as const;
  if (type === undefined) return { said, family: undefined };
  const family = FAMILY_NAMES.find((name) => Object.hasOwn(FAMILIES[name].transformersTypes, type));
  if (family !== undefined) return { said, family };
  const known = Object.values(FAMILIES).flatMap((each) => Object.keys(each.transformersTypes));
  throw unsupported('model_type', `one of ${known.join(', ')}`, type, KINDS);
}

function saidByTimm(file: unknown): SaidModel {
  const { architecture = '' } = timmFacts(file);
  const family = FAMILY_NAMES.find((name) => FAMILIES[name].timmArchitectures.test(architecture));
  return { said: { by: 'timm', from: CONFIG.file, file }, family };
}
