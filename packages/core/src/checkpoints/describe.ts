/** Words for people about a checkpoint: what it is, and what it has that Thimble's models do not. */
import { CheckpointError } from '../errors.js';
import { familyOf, KINDS, type ModelConfig } from '../models/index.js';
import type { NamingName } from '../models/naming.js';
import { partsOf, type Reason } from '../models/reasons.js';
import { field } from '../schema/index.js';
import type { WeightSource } from '../train/weights.js';
import type { Sidecars } from './types.js';

const NAMES: { readonly [N in NamingName]: string } = {
  timm: 'timm names',
  'hugging-face': 'Hugging Face names',
  torchvision: 'torchvision names',
  arch: 'described by arch.json',
  thimble: 'saved by Thimble',
};

/** `ViT-Ti/16, 224 px, 1000 classes, timm names` */
export function describeConfig(
  naming: NamingName,
  { config, hasClassifier }: { readonly config: ModelConfig; readonly hasClassifier: boolean },
): string {
  const classes = hasClassifier ? `${String(config.classes)} classes` : 'no classifier';
  return [
    familyOf(config).describe(config),
    `${String(config.imageSize)} px`,
    classes,
    NAMES[naming],
  ].join(', ');
}

const SHOWN = 8;
/** Characters of what a file calls its model. */
const SAID = 60;

/** The first names, and how many more. */
export function listed(names: readonly string[]): string {
  const more = names.length - SHOWN;
  const shown = names.slice(0, SHOWN).join(', ');
  return more > 0 ? `${shown} and ${String(more)} more` : shown;
}

/** The first names, and the parts of a model that they tell. */
export function withParts(names: readonly string[], reasons: readonly Reason[]): string {
  const parts = partsOf(names, reasons);
  return parts === '' ? listed(names) : `${listed(names)} (${parts})`;
}

/** A file of which not even the family is known. */
export function unknownArchitecture(source: WeightSource, { config }: Sidecars): CheckpointError {
  const names = [...source.shapes.keys()];
  const said = [field(config, 'architecture'), field(config, 'model_type')].find(
    (value) => typeof value === 'string',
  );
  const isWide = (shape: readonly number[]) => shape.length === 4 && shape[2] > 1;
  const convolutions = [...source.shapes.values()].filter(isWide).length;
  const parts = [
    `${String(names.length)} tensors such as ${listed(names.slice(0, 4))}`,
    ...(convolutions > 1 ? [`${String(convolutions)} of them convolutions`] : []),
    ...(typeof said === 'string' ? [`config.json says ${said.slice(0, SAID)}`] : []),
  ];
  return new CheckpointError({
    where: source.name,
    expected: `a ${KINDS.one} under names of timm, Hugging Face or torchvision`,
    got: parts.join('; '),
    todo: 'Choose a checkpoint of one of these; thimble info lists what is in the file',
  });
}
