/**
 * Names of classes: id2label or label2id of transformers, label_names of timm, `classes` of Thimble's
 * metadata. transformers writes LABEL_0, LABEL_1, … where nobody gave names; those say nothing.
 */
import { CheckpointError } from '../errors.js';
import { brief, field, isObject, list, Place, read, text, type Reader } from '../schema/index.js';
import { CONFIG, metadataEntry } from './documents.js';
import type { Sidecars } from './types.js';

/** A name of a class. */
export const LABEL: Reader<string> = text({ most: 1000 });
/** Names of classes, one or more. */
export const LABELS: Reader<readonly string[]> = list(LABEL, { least: 1, most: 1_000_000 });

/** Throws CheckpointError when the names are not as many as the classifier has outputs. */
export function labelsOf(
  file: string,
  metadata: ReadonlyMap<string, string>,
  { config }: Sidecars,
  classes: number,
): readonly string[] | null {
  const own = metadata.get('classes');
  const sources: readonly (readonly [where: string, labels: readonly string[] | undefined])[] = [
    ['metadata classes', own === undefined ? own : read(own, LABELS, metadataEntry('classes'))],
    ['config.json, id2label', indexed(field(config, 'id2label'), 'config.json, id2label')],
    ['config.json, label2id', inverted(field(config, 'label2id'), 'config.json, label2id')],
    ['config.json, label_names', named(config)],
  ];
  const [where, labels] = sources.find(([, found]) => found !== undefined) ?? ['', undefined];
  if (labels === undefined || isDefault(labels)) {
    if (labels === undefined || labels.length === classes) return null;
  }
  if (labels.length === classes) return labels;
  throw new CheckpointError({
    where: `${file}, ${where}`,
    expected: `${String(classes)} names, one for each output of the classifier`,
    got: String(labels.length),
    todo: 'Use the labels of this model',
  });
}

/** timm: a list, or an object from index to name. */
function named(config: unknown): readonly string[] | undefined {
  const where = 'config.json, label_names';
  const pretrained = field(config, 'pretrained_cfg');
  const value = field(config, 'label_names') ?? field(pretrained, 'label_names');
  if (value === undefined || value === null) return undefined;
  return isObject(value) ? indexed(value, where) : LABELS(value, placeOf(where));
}

/** { "0": name, "1": name, … } */
function indexed(value: unknown, where: string): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (!isObject(value)) return placeOf(where).fail('an object from index to name', value);
  return ordered(
    Object.entries(value).map(([index, name]) => [Number(index), name]),
    where,
  );
}

/** { name: 0, name: 1, … } */
function inverted(value: unknown, where: string): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (!isObject(value)) return placeOf(where).fail('an object from name to index', value);
  return ordered(
    Object.entries(value).map(([name, index]) => [Number(index), name]),
    where,
  );
}

function ordered(
  pairs: readonly (readonly [index: number, name: unknown])[],
  where: string,
): readonly string[] {
  const byIndex = new Map(pairs);
  return pairs.map((_, index) => {
    const name = byIndex.get(index);
    if (typeof name === 'string') return LABEL(name, placeOf(where).at(index));
    throw placeOf(where).error(`a name for class ${String(index)}`, brief(name));
  });
}

function placeOf(where: string): Place {
  return new Place({ ...CONFIG, file: where });
}

function isDefault(labels: readonly string[]): boolean {
  return labels.every((label, index) => label === `LABEL_${String(index)}`);
}
