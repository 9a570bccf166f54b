/** What is said about pictures before they are used: where they come from, how many, what was left out. */
import type { CopiesFound, CopyPairs } from './copies.js';
import type { ImageFile, Renamed } from './folder.js';
import type { LeftOut, LeftOutGroup } from './left-out.js';
import type { DataSet, HeldOut } from './set.js';
import { counted, percent } from '../terminal/format.js';
import { inOneLine } from '../terminal/terminal.js';

/** What will be trained and validated on. */
export interface DataSetEvent {
  readonly event: 'data';
  /** The folder of the class folders, or the manifest. */
  readonly from: string;
  readonly validationFrom: string;
  /** Share of each class that was held out; null where validation images have a place of their own. */
  readonly heldOut: number | null;
  readonly classes: readonly {
    readonly name: string;
    readonly trainImages: number;
    readonly validationImages: number;
  }[];
  readonly leftOut: readonly LeftOutGroup[];
  readonly renamed: readonly Renamed[];
  /** Images that are there more than once. */
  readonly copies: CopiesFound;
  /** Sub-folders that all class folders have, which may be the classes. */
  readonly sharedInside: readonly string[];
  /** The same in lines for people. */
  readonly lines: readonly string[];
}

/** What a model will be measured on. */
export interface HeldOutEvent {
  readonly event: 'heldOutData';
  readonly from: string;
  /** Classes of the model of which there are images. */
  readonly classes: readonly { readonly name: string; readonly images: number }[];
  readonly leftOut: readonly LeftOutGroup[];
  readonly renamed: readonly Renamed[];
  /** The same in lines for people. */
  readonly lines: readonly string[];
}

export function dataSetEvent(data: DataSet): DataSetEvent {
  const { classes, train, validation, trainFrom, validationFrom } = data;
  const trained = counts(classes, train);
  const validated = counts(classes, validation);
  return {
    event: 'data',
    from: trainFrom,
    validationFrom,
    heldOut: data.share,
    classes: classes.map((name, label) => ({
      name,
      trainImages: trained[label],
      validationImages: validated[label],
    })),
    leftOut: data.leftOut.groups,
    renamed: data.renamed,
    copies: data.copies,
    sharedInside: data.sharedInside,
    lines: dataSetLines(data),
  };
}

export function heldOutEvent(data: HeldOut): HeldOutEvent {
  const { from, classes, files, leftOut, renamed } = data;
  const found = counts(classes, files);
  const present = classes
    .map((name, label) => ({ name, images: found[label] }))
    .filter(({ images }) => images > 0);
  const lines = heldOutLines(data);
  return {
    event: 'heldOutData',
    ...{ from, classes: present, leftOut: leftOut.groups, renamed, lines },
  };
}

export function dataSetLines(data: DataSet): readonly string[] {
  const { classes, train, validation, share, copies } = data;
  const trained = counts(classes, train);
  const validated = counts(classes, validation);
  const held = share === null ? data.validationFrom : `held out, ${percent(share)} of each class`;
  const unseen = classes.filter((_, label) => validated[label] === 0);
  const inside = data.sharedInside;
  return [
    `Data       ${inOneLine(data.trainFrom)}: ${counted(train.length, 'image')} for training`,
    `Validation ${inOneLine(held)}: ${counted(validation.length, 'image')}`,
    `Classes    ${classesText(classes, trained, validated)}`,
    ...asideLines(data.leftOut, data.renamed),
    ...(unseen.length > 0 ? [`Warning    no validation image of ${abridged(unseen)}`] : []),
    ...(inside.length > 0
      ? [`Warning    every class has the sub-folders ${abridged(inside)}: are these the classes?`]
      : []),
    ...copyLines('Warning', copies.acrossSides, 'in both training and validation'),
    ...copyLines('Warning', copies.acrossClasses, 'in more than one class'),
    ...copyLines('Copies', copies.within, 'once more in the same class'),
  ];
}

export function heldOutLines(data: HeldOut): readonly string[] {
  const { from, classes, files, leftOut, renamed } = data;
  const present = new Set(files.map(({ label }) => label));
  const images = counted(files.length, 'image');
  const of = `${String(present.size)} of the model's ${String(classes.length)} classes`;
  return [`Data       ${inOneLine(from)}: ${images} of ${of}`, ...asideLines(leftOut, renamed)];
}

/** How many images each class has. */
function counts(classes: readonly string[], files: readonly ImageFile[]): readonly number[] {
  const found = classes.map(() => 0);
  for (const { label } of files) found[label]++;
  return found;
}

/** Classes that are named; of more the range is said. */
const NAMED = 12;

/** `blue 8 + 2, green 8 + 2`: for training and for validation. */
function classesText(
  classes: readonly string[],
  trained: readonly number[],
  validated: readonly number[],
): string {
  const smallest = [...classes.keys()].sort(
    (a, b) => trained[a] + validated[a] - trained[b] - validated[b],
  );
  const shown = classes.length > NAMED ? smallest.slice(0, EXAMPLES) : [...classes.keys()];
  const named = shown.map(
    (label) =>
      `${inOneLine(classes[label])} ${String(trained[label])} + ${String(validated[label])}`,
  );
  const text = named.join(', ');
  if (classes.length <= NAMED) return `${text} (training + validation)`;
  const range = `${rangeText(trained)} for training, ${rangeText(validated)} for validation`;
  return `${String(classes.length)} of ${range}; the smallest: ${text}`;
}

function rangeText(values: readonly number[]): string {
  const least = values.reduce((a, b) => Math.min(a, b));
  const most = values.reduce((a, b) => Math.max(a, b));
  return least === most ? String(least) : `${String(least)} to ${String(most)}`;
}

/** Names that are shown of many. */
const EXAMPLES = 3;

function abridged(names: readonly string[]): string {
  const shown = names.slice(0, NAMED).map(inOneLine).join(', ');
  const more = names.length - NAMED;
  return more > 0 ? `${shown} and ${String(more)} more` : shown;
}

function asideLines(leftOut: LeftOut, renamed: readonly Renamed[]): readonly string[] {
  const lines = leftOut.lines.map((line) => `Left out   ${line}`);
  const named = renamed.map(({ folder, name }) => `'${folder}' as '${name}'`);
  if (named.length === 0) return lines;
  return [...lines, `Names      taken for their classes: ${abridged(named)}`];
}

/** @param what behind `1 image` or `2 images` */
function copyLines(title: string, { count, examples }: CopyPairs, what: string): readonly string[] {
  if (count === 0) return [];
  const pairs = examples.map(([path, other]) => `${inOneLine(path)} is ${inOneLine(other)}`);
  const more = count > examples.length ? ', …' : '';
  return [
    `${title.padEnd(11)}${counted(count, 'image')} ${what}, byte for byte: ${pairs.join(', ')}${more}`,
  ];
}
