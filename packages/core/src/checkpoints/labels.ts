/**
 * Names of classes: id2label or label2id of transformers, label_names of timm, `classes` of Thimble's
 * metadata. transformers writes LABEL_0, LABEL_1, … where nobody gave names; those say nothing.
 */
import { CheckpointError } from '../errors.js';
import { brief, field, isObject, list, Place, read, text, type Reader } from '../schema/index.js';
import { CONFIG, metadataEntry } from '../models/documents.js';
import type { Sidecars } from './types.js';

/** A name of a class. */
const LABEL: Reader<string> = text({ most: 1000 });
/** Names of classes, one or more. */
export const LABELS: Reader<readonly string[]> = list(LABEL, { least: 1, most: 1_000_000 });

/**
 * The names in the order of the classifier's outputs; null where nothing gives them. Several outputs may have the
 * same name: of ImageNet's 1000 classes two are called `crane`. Throws CheckpointError when the names are not as
 * many as the classifier has outputs.
 */
export function labelsOf(
  file: string,
  metadata: ReadonlyMap<string, string>,
  { config }: Sidecars,
  classes: number,
): readonly string[] | null {
  const found =
    ownNames(metadata) ??
    readNames('config.json, id2label', field(config, 'id2label'), indexed) ??
    namedByTimm(config) ??
    // The inverse has one entry for each name, not for each output: it says all only where names differ.
    readNames('config.json, label2id', field(config, 'label2id'), inverted);
  if (found === null) return null;
  const { where, labels } = found;
  if (labels.length === classes) return isDefault(labels) ? null : labels;
  throw new CheckpointError({
    where: `${file}, ${where}`,
    expected: `${String(classes)} names, one for each output of the classifier`,
    got: String(labels.length),
    todo: 'Use the labels of this model',
  });
}

interface FoundNames {
  /** For errors. */
  readonly where: string;
  readonly labels: readonly string[];
}

function ownNames(metadata: ReadonlyMap<string, string>): FoundNames | null {
  const own = metadata.get('classes');
  if (own === undefined) return null;
  return { where: 'metadata classes', labels: read(own, LABELS, metadataEntry('classes')) };
}

/** timm: a list, or an object from index to name. */
function namedByTimm(config: unknown): FoundNames | null {
  const pretrained = field(config, 'pretrained_cfg');
  const value = field(config, 'label_names') ?? field(pretrained, 'label_names');
  const reader: Reader<readonly string[]> = isObject(value) ? indexed : LABELS;
  return readNames('config.json, label_names', value, reader);
}

function readNames(
  where: string,
  value: unknown,
  reader: Reader<readonly string[]>,
): FoundNames | null {
  if (value === undefined || value === null) return null;
  return { where, labels: reader(value, new Place({ ...CONFIG, file: where })) };
}

/** { "0": name, "1": name, … } */
function indexed(value: unknown, place: Place): readonly string[] {
  if (!isObject(value)) return place.fail('an object from index to name', value);
  const pairs = Object.entries(value);
  return ordered(
    pairs.map(([index, name]) => [indexOf(index, place), name]),
    place,
  );
}

/** { name: 0, name: 1, … } */
function inverted(value: unknown, place: Place): readonly string[] {
  if (!isObject(value)) return place.fail('an object from name to index', value);
  const pairs = Object.entries(value);
  return ordered(
    pairs.map(([name, index]) => [indexOf(index, place), name]),
    place,
  );
}

/** The number of an output, which some write as text; not every text that JavaScript takes for one. */
function indexOf(value: unknown, place: Place): number {
  const index = typeof value === 'string' && /^(0|[1-9]\d*)$/.test(value) ? Number(value) : value;
  if (typeof index === 'number' && Number.isSafeInteger(index) && index >= 0) return index;
  return place.fail('the numbers of outputs, from 0', value);
}

function ordered(
  pairs: readonly (readonly [index: number, name: unknown])[],
  place: Place,
): readonly string[] {
  const byIndex = new Map(pairs);
  return pairs.map((_, index) => {
    const name = byIndex.get(index);
    if (typeof name === 'string') return LABEL(name, place.at(index));
    throw place.error(`a name for class ${String(index)}`, brief(name));
  });
}

function isDefault(labels: readonly string[]): boolean {
  return labels.every((label, index) => label === `LABEL_${String(index)}`);
}
