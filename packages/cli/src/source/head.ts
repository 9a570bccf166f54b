/**
 * --head: whether a pretrained classifier is kept.
 *
 *   auto   kept where its labels are the classes of the photos, in the same order, or where nothing
 *          says its labels and the numbers agree; else a new one
 *   new    a new one, which starts at zero
 *   keep   kept with all its classes, among which the photos' have to be
 */
import {
  checkedClassNames,
  ConfigError,
  DataError,
  nearest,
  type WeightSource,
} from '@thimble/core';
import { composed } from '../data/names.js';
import { classesOf, type Start } from './start.js';
import { outputsMeant } from './meaning.js';

export const HEADS = ['auto', 'new', 'keep'] as const;
export type Head = (typeof HEADS)[number];

export interface HeadChoice {
  readonly isKept: boolean;
  /** What the model tells apart. */
  readonly classes: readonly string[];
  /** For each class of the photos, its place in `classes`. */
  readonly places: readonly number[];
}

/** @param classes of the photos. Throws DataError and ConfigError for --head keep. */
export function chooseHead(
  head: Head,
  start: Start | null,
  classes: readonly string[],
): HeadChoice {
  const own = { classes, places: classes.map((_, index) => index) };
  if (head === 'keep') return keptHead(start, classes);
  const isKept = head === 'auto' && start !== null && start.hasClassifier && fits(start, classes);
  return { isKept, ...own };
}

function fits({ labels, model }: Start, classes: readonly string[]): boolean {
  if (labels === null) return model.config.classes === classes.length;
  return (
    labels.length === classes.length &&
    labels.every((label, i) => composed(label) === composed(classes[i]))
  );
}

function keptHead(start: Start | null, classes: readonly string[]): HeadChoice {
  if (!start?.hasClassifier) {
    throw new ConfigError({
      where: '--head keep',
      expected: 'weights with a classifier',
      got: start ? start.description : 'random ones',
      todo: 'Leave --head out, or give --init a model that classifies',
    });
  }
  const all = checkedClassNames(classesOf(start), start.text, 'Choose --head new');
  const meant = outputsMeant(classes, all);
  const unknown = classes.filter((_, index) => meant[index].length === 0);
  if (unknown.length > 0) throw notAmong(start, unknown, all);
  const doubtful = classes.findIndex((_, index) => meant[index].length > 1);
  if (doubtful >= 0) throw inDoubt(start, classes[doubtful], meant[doubtful]);
  return { isKept: true, classes: all, places: meant.map(([output]) => output) };
}

function notAmong(start: Start, unknown: readonly string[], all: readonly string[]): DataError {
  const near = nearest(unknown[0], all);
  return new DataError({
    where: '--head keep',
    expected: `classes among the ${String(all.length)} of ${start.text}`,
    got: `${unknown.join(', ')}, which ${unknown.length === 1 ? 'is' : 'are'} not`,
    todo: `Rename the folders${near === null ? '' : ` (near: ${near})`}, or choose --head new`,
  });
}

/** An image has one label, and nothing says which of the outputs its photographer meant. */
function inDoubt(start: Start, name: string, outputs: readonly number[]): DataError {
  return new DataError({
    where: '--head keep',
    expected: `classes that each mean one output of ${start.text}`,
    got: `'${name}', which ${String(outputs.length)} outputs are called (${outputs.join(', ')})`,
    todo: 'Leave the folder out, or choose --head new',
  });
}

/** `source` without the tensors of a classifier, which then starts anew. */
export function withoutHead<S extends WeightSource>(source: S, prefix: string): S {
  const shapes = [...source.shapes].filter(([name]) => !name.startsWith(prefix));
  return { ...source, shapes: new Map(shapes) };
}
