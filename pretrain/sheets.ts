/**
 * Sets of small pictures kept as one sheet (a JPEG of equal tiles) per class and split, with an
 * `index.json` beside them: {tile, classes: [{name or words, train: {file, cols, n}, …}]}; tile i is at
 * x = (i mod cols)·tile, y = ⌊i / cols⌋·tile. Read whole, as 8-bit RGB, resized as Pillow does it.
 */
import { resize } from '@thimble/core';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

export interface Tiles {
  readonly classes: readonly string[];
  /** [size, size, 3] each. */
  readonly images: readonly Uint8Array[];
  /** 0-based positions in `classes`. */
  readonly labels: readonly number[];
}

interface Sheet {
  readonly file: string;
  readonly cols: number;
  readonly n: number;
}

interface Index {
  readonly tile: number;
  readonly classes: readonly ({ readonly name?: string; readonly words?: string } & Readonly<
    Record<string, Sheet>
  >)[];
}

/** All tiles of one split, class after class. */
export async function readTiles(folder: string, split: string, size: number): Promise<Tiles> {
  const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Index;
  const images: Uint8Array[] = [];
  const labels: number[] = [];
  for (const [label, entry] of index.classes.entries()) {
    for (const tile of await cutSheet(folder, entry[split], index.tile)) {
      images.push(index.tile === size ? tile : scaled(tile, index.tile, size));
      labels.push(label);
    }
  }
  return { classes: index.classes.map(className), images, labels };
}

/** Several sets as one: the classes of the second come after those of the first, and so on. */
export function union(sets: readonly Tiles[]): Tiles {
  const classes = sets.flatMap((set) => set.classes);
  if (new Set(classes).size !== classes.length) throw new Error('two classes have the same name');
  let before = 0;
  const labels: number[] = [];
  for (const set of sets) {
    for (const label of set.labels) labels.push(before + label);
    before += set.classes.length;
  }
  return { classes, images: sets.flatMap((set) => set.images), labels };
}

async function cutSheet(folder: string, sheet: Sheet, tile: number): Promise<Uint8Array[]> {
  const { data, info } = await sharp(join(folder, sheet.file))
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return Array.from({ length: sheet.n }, (_, i) => {
    const left = (i % sheet.cols) * tile;
    const top = Math.floor(i / sheet.cols) * tile;
    const out = new Uint8Array(tile * tile * 3);
    for (let y = 0; y < tile; y++) {
      const from = ((top + y) * info.width + left) * 3;
      out.set(data.subarray(from, from + tile * 3), y * tile * 3);
    }
    return out;
  });
}

function scaled(data: Uint8Array, from: number, to: number): Uint8Array {
  const image = { width: from, height: from, channels: 3 as const, data };
  return Uint8Array.from(resize(image, to, to, 'bicubic').data);
}

/** The first of several synonyms. */
function className({ name, words }: Index['classes'][number]): string {
  return (name ?? words ?? '').split(',')[0];
}
