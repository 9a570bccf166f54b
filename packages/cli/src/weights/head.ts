/**
 * --head: whether a pretrained classifier is kept.
 *
 *   auto   kept where its labels are the classes of the photos, in the same order, or where nothing
 *          says its labels and the numbers agree; else a new one
 *   new    a new one, which starts at zero
 *   keep   kept with all its classes, among which the photos' have to be
 */
import { ConfigError, DataError, nearest, type WeightSource } from '@thimble/core';
import { composed, folded } from '../data/names.js';
import { classesOf, type Start } from '../start.js';

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
  const all = classesOf(start);
  const places = placesAmong(classes, all);
  const unknown = classes.filter((_, index) => places[index] < 0);
  if (unknown.length === 0) return { isKept: true, classes: all, places };
  const near = nearest(unknown[0], all);
  throw new DataError({
    where: '--head keep',
    expected: `classes among the ${String(all.length)} of ${start.text}`,
    got: `${unknown.join(', ')}, which ${unknown.length === 1 ? 'is' : 'are'} not`,
    todo: `Rename the folders${near === null ? '' : ` (near: ${near})`}, or choose --head new`,
  });
}

/** Where each name is among the labels, by the label or its first synonym; −1 where nowhere. An exact name goes before one in another case. */
export function placesAmong(
  names: readonly string[],
  labels: readonly string[],
): readonly number[] {
  const whole = labels.map(plain);
  const first = labels.map((label) => plain(label.split(',')[0]));
  const spelled = labels.map(composed);
  return names.map((name) => {
    const exact = spelled.indexOf(composed(name));
    if (exact >= 0) return exact;
    const at = whole.indexOf(plain(name));
    return at >= 0 ? at : first.indexOf(plain(name));
  });
}

function plain(name: string): string {
  return folded(name).trim().replaceAll('_', ' ');
}

/** `source` without the tensors of a classifier, which then starts anew. */
export function withoutHead<S extends WeightSource>(source: S, prefix: string): S {
  const shapes = [...source.shapes].filter(([name]) => !name.startsWith(prefix));
  return { ...source, shapes: new Map(shapes) };
}
