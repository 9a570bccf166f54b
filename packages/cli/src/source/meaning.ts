/**
 * Which outputs of a classifier are meant by the names of folders.
 *
 * A name means the outputs whose label it is; where there is none, those whose label it is but for case and
 * underscores; where there is none, those of whose synonyms (`tench, Tinca tinca`) it is the first. Of what an
 * earlier rule gave to one name, a later rule gives nothing to another: `maillot` is not `maillot, tank suit`
 * where a folder of each is there. Several outputs may have one label: ImageNet has two `crane`s.
 */
import type { Matched } from '../data/folder.js';
import { composed, folded } from '../data/names.js';

/** For each name, the outputs that it means, in their order; none for a name that nothing is called by. */
export function outputsMeant(
  names: readonly string[],
  labels: readonly string[],
): readonly (readonly number[])[] {
  const meant: (readonly number[])[] = names.map(() => []);
  const taken = new Set<number>();
  for (const { ofLabel, ofName } of RULES) {
    const free = labels.map((_, output) => output).filter((output) => !taken.has(output));
    const outputs = grouped(free, (output) => ofLabel(labels[output]));
    names.forEach((name, index) => {
      if (meant[index].length === 0) meant[index] = outputs.get(ofName(name)) ?? [];
    });
    for (const output of meant.flat()) taken.add(output);
  }
  return meant;
}

interface Rule {
  readonly ofLabel: (label: string) => string;
  readonly ofName: (name: string) => string;
}

const RULES: readonly Rule[] = [
  { ofLabel: composed, ofName: composed },
  { ofLabel: plain, ofName: plain },
  { ofLabel: (label) => plain(label.split(',')[0]), ofName: plain },
];

/** The outputs of each key, in the order in which the keys come. */
function grouped(
  outputs: readonly number[],
  keyOf: (output: number) => string,
): ReadonlyMap<string, readonly number[]> {
  const groups = new Map<string, number[]>();
  for (const output of outputs) {
    const key = keyOf(output);
    const group = groups.get(key);
    if (group) group.push(output);
    else groups.set(key, [output]);
  }
  return groups;
}

function plain(name: string): string {
  return folded(name).trim().replaceAll('_', ' ');
}

/** What an evaluation tells apart: the classes that folders mean, and those of which there is no folder. */
export interface EvaluatedClass {
  /** Its label; the folder's name where that means several labels. */
  readonly name: string;
  /** Any of them is right. */
  readonly outputs: readonly number[];
}

/**
 * The classes of an evaluation in the order of the model's outputs. Folders that mean nothing have none, those
 * that mean the same are one; of equal labels without a folder there is one class.
 */
export function evaluatedClasses(
  folders: readonly string[],
  labels: readonly string[],
): readonly EvaluatedClass[] {
  const meant = outputsMeant(folders, labels);
  const present = folders.flatMap((folder, index): readonly EvaluatedClass[] => {
    const outputs = meant[index];
    const names = new Set(outputs.map((output) => labels[output]));
    if (outputs.length === 0 || meant.indexOf(outputs) < index) return [];
    return [{ name: names.size === 1 ? labels[outputs[0]] : folder, outputs }];
  });
  const covered = new Set(meant.flat());
  const free = labels.map((_, output) => output).filter((output) => !covered.has(output));
  const absent = grouped(free, (output) => labels[output]);
  const others = [...absent].map(([name, outputs]) => ({ name, outputs }));
  return [...present, ...others].sort((a, b) => a.outputs[0] - b.outputs[0]);
}

/** Those classes by name, and the place of each folder among them: −1 for one that means nothing. */
export function matchedClasses(folders: readonly string[], labels: readonly string[]): Matched {
  const classes = evaluatedClasses(folders, labels);
  const byOutput = new Map(classes.map(({ outputs }, place) => [outputs[0], place]));
  return {
    classes: classes.map(({ name }) => name),
    places: outputsMeant(folders, labels).map(([first]) => byOutput.get(first) ?? -1),
  };
}
