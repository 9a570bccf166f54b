/**
 * Names of classes: id2label or label2id of transformers, label_names of timm, `classes` of Thimble's
 * metadata. transformers writes LABEL_0, LABEL_1, … where nobody gave names; those say nothing.
 */
import { CheckpointError } from '../errors.js';
import * as json from './json.js';
import type { Sidecars } from './types.js';

/** Throws CheckpointError when the names are not as many as the classifier has outputs. */
export function labelsOf(
  file: string,
  metadata: ReadonlyMap<string, string>,
  { config }: Sidecars,
  classes: number,
): readonly string[] | null {
  const own = json.parseJson(metadata.get('classes'), 'metadata classes');
  const sources: readonly (readonly [where: string, labels: readonly string[] | undefined])[] = [
    ['metadata classes', json.texts(own, 'metadata classes')],
    ['config.json, id2label', indexed(json.field(config, 'id2label'), 'config.json, id2label')],
    ['config.json, label2id', inverted(json.field(config, 'label2id'), 'config.json, label2id')],
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
  const pretrained = json.field(config, 'pretrained_cfg');
  const value = json.field(config, 'label_names') ?? json.field(pretrained, 'label_names');
  if (value === undefined || value === null) return undefined;
  return json.isObject(value) ? indexed(value, where) : json.texts(value, where);
}

/** { "0": name, "1": name, … } */
function indexed(value: unknown, where: string): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (!json.isObject(value)) throw json.invalid(where, 'an object from index to name', value);
  return ordered(
    Object.entries(value).map(([index, name]) => [Number(index), name]),
    where,
  );
}

/** { name: 0, name: 1, … } */
function inverted(value: unknown, where: string): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (!json.isObject(value)) throw json.invalid(where, 'an object from name to index', value);
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
    if (typeof name === 'string') return name;
    throw json.invalid(where, `a name for class ${String(index)}`, name ?? null);
  });
}

function isDefault(labels: readonly string[]): boolean {
  return labels.every((label, index) => label === `LABEL_${String(index)}`);
}
