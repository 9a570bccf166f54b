/**
 * Which images train and which validate, decided by (seed, name) alone.
 *
 * Within each class the images are put in the order of a hash of (seed, name) and the first share
 * of them validates. So the split is the same on every machine, does not depend on the order of
 * listing, and adding images moves few of the others. A class of two or more has at least one
 * image on each side; a single image trains.
 *
 * Copies of one image stay on one side, where the first of them by name decides: what validates
 * has then not been trained on. Without copies the split is the same as if nobody had looked.
 */
import { ConfigError } from '../errors.js';
import { Random } from '../random.js';

/** Which images train and which validate. */
export interface Split {
  /** Positions in the list that was given, ascending. */
  readonly train: number[];
  readonly validation: number[];
}

/**
 * Holds a share of each class out, the same images for the same names and seed; copies of an image stay together.
 *
 * @param names of the images, for instance paths relative to the data folder with '/' between
 * folders
 * @param labels of the images
 * @param share of each class that validates, in (0, 1). Throws ConfigError otherwise.
 * @param contents for each image the position of an image that it is a copy of, or its own
 */
export function stratifiedSplit(
  names: readonly string[],
  labels: ArrayLike<number>,
  share: number,
  seed: number,
  contents?: ArrayLike<number>,
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
  const byName = (a: number, b: number) =>
    names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : a - b;
  const hashes = names.map((name) => Random.of(seed, 'split', name).uniform());
  for (const members of byClass.values()) {
    const wanted = Math.max(1, Math.round(share * members.length));
    const most = Math.min(wanted, members.length - 1);
    const images = grouped(members.sort(byName), contents);
    images.sort(([a], [b]) => hashes[a] - hashes[b] || byName(a, b));
    const held = heldOut(images, most);
    for (const image of images) {
      const side = held.has(image) ? validation : train;
      for (const index of image) side.push(index);
    }
  }
  const ascending = (a: number, b: number) => a - b;
  return { train: train.sort(ascending), validation: validation.sort(ascending) };
}

/** An image and its copies, the first by name first. */
type Copies = readonly [number, ...number[]];

/** @param members in the order of their names */
function grouped(members: readonly number[], contents: ArrayLike<number> | undefined): Copies[] {
  const groups = new Map<number, [number, ...number[]]>();
  for (const index of members) {
    const content = contents?.[index] ?? index;
    const group = groups.get(content);
    if (group === undefined) groups.set(content, [index]);
    else group.push(index);
  }
  return [...groups.values()];
}

/** The first images that fit into `most` files; where none does, the one of the fewest copies. */
function heldOut(images: readonly Copies[], most: number): ReadonlySet<Copies> {
  const held = new Set<Copies>();
  let files = 0;
  for (const image of images) {
    if (files + image.length > most) continue;
    held.add(image);
    files += image.length;
  }
  if (held.size > 0 || images.length < 2) return held;
  return held.add(images.reduce((least, image) => (image.length < least.length ? image : least)));
}
