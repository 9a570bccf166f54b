/**
 * Names of classes: id2label or label2id of transformers, label_names of timm, `classes` of Thimble's
 * metadata. transformers writes LABEL_0, LABEL_1, … where nobody gave names; those say nothing.
 */
import { CheckpointError } from '../errors.js';
import * as json from './json.js';
import type { Sidecars } from './types.js';

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
    readNames(config, 'id2label', indexed) ??
    namedByTimm(config) ??
    // The inverse has one entry for each name, not for each output: it says all only where names differ.
    readNames(config, 'label2id', inverted);
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
  const where = 'metadata classes';
  const labels = json.texts(json.parseJson(metadata.get('classes'), where), where);
  return labels ? { where, labels } : null;
}

function readNames(
  config: unknown,
  key: string,
  read: (value: unknown, where: string) => readonly string[],
): FoundNames | null {
  const where = `config.json, ${key}`;
  const value = json.field(config, key);
  return value === undefined || value === null ? null : { where, labels: read(value, where) };
}

/** timm: a list, or an object from index to name. */
function namedByTimm(config: unknown): FoundNames | null {
  const where = 'config.json, label_names';
  const pretrained = json.field(config, 'pretrained_cfg');
  const value = json.field(config, 'label_names') ?? json.field(pretrained, 'label_names');
  if (value === undefined || value === null) return null;
  const labels = json.isObject(value) ? indexed(value, where) : json.texts(value, where);
  return labels ? { where, labels } : null;
}

/** { "0": name, "1": name, … } */
function indexed(value: unknown, where: string): readonly string[] {
  if (!json.isObject(value)) throw json.invalid(where, 'an object from index to name', value);
  const entries = Object.entries(value);
  return ordered(
    entries.map(([index, name]) => [indexOf(index, where), name]),
    where,
  );
}

/** { name: 0, name: 1, … } */
function inverted(value: unknown, where: string): readonly string[] {
  if (!json.isObject(value)) throw json.invalid(where, 'an object from name to index', value);
  const entries = Object.entries(value);
  return ordered(
    entries.map(([name, index]) => [indexOf(index, where), name]),
    where,
  );
}

/** The number of an output, which some write as text; not every text that JavaScript takes for one. */
function indexOf(value: unknown, where: string): number {
  const index = typeof value === 'string' && /^(0|[1-9]\d*)$/.test(value) ? Number(value) : value;
  if (typeof index === 'number' && Number.isSafeInteger(index) && index >= 0) return index;
  throw json.invalid(where, 'the numbers of outputs, from 0', value);
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
