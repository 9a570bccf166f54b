/**
 * Which images train and which validate, decided by (seed, name) alone.
 *
 * Within each class the images are put in the order of a hash of (seed, name) and the first share
 * of them validates. So the split is the same on every machine, does not depend on the order of
 * listing, and adding images moves few of the others. A class of two or more has at least one
 * image on each side; a single image trains.
 */
import { ConfigError } from '../errors.js';
import { Random } from '../random.js';

export interface Split {
  /** Positions in the list that was given, ascending. */
  readonly train: number[];
  readonly validation: number[];
}

/**
 * @param names of the images, for instance paths relative to the data folder with '/' between
 * folders
 * @param labels of the images
 * @param share of each class that validates, in (0, 1). Throws ConfigError otherwise.
 */
export function stratifiedSplit(
  names: readonly string[],
  labels: ArrayLike<number>,
  share: number,
  seed: number,
): Split {
  if (!(share > 0 && share < 1)) {
    throw new ConfigError({
      where: 'split',
      expected: 'a share of validation images between 0 and 1',
      got: String(share),
      todo: 'Use for instance 0.2',
    });
  }
  const byClass = new Map<number, number[]>();
  names.forEach((_, index) => {
    const members = byClass.get(labels[index]);
    if (members === undefined) byClass.set(labels[index], [index]);
    else members.push(index);
  });
  const train: number[] = [];
  const validation: number[] = [];
  const hashes = names.map((name) => Random.of(seed, 'split', name).uniform());
  for (const members of byClass.values()) {
    members.sort((a, b) => hashes[a] - hashes[b] || (names[a] < names[b] ? -1 : 1));
    const wanted = Math.max(1, Math.round(share * members.length));
    const held = Math.min(wanted, members.length - 1);
    validation.push(...members.slice(0, held));
    train.push(...members.slice(held));
  }
  const ascending = (a: number, b: number) => a - b;
  return { train: train.sort(ascending), validation: validation.sort(ascending) };
}
