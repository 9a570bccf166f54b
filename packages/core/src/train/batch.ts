/**
 * Batches of images with their labels, the time that they are waited for, and what holds of labels before anything
 * is computed from them.
 */
import type { Images } from '../data/levels.js';
import { DataError } from '../errors.js';
import type { Shape } from '../ir/types.js';
import { entryNamed, type Program } from '../program.js';

/** Images as the model reads them, [B, C, S, S] in numbers or in levels, and one label each. */
export interface Batch {
  readonly images: Images;
  readonly labels: Int32Array;
  /** Rows that count; the rest of an evaluation's last batch is padding. */
  readonly real: number;
  /** Called once the images have been copied: their array may be filled with the next ones. */
  readonly taken?: () => void;
}

/** The batches of an epoch, in their order. */
export type Batches = AsyncIterable<Batch> | Iterable<Batch>;

/** How long batches were waited for: time in which whoever runs them had nothing to do. */
export class Waiting {
  ms = 0;

  /** The batches themselves. */
  async *of(batches: Batches): AsyncGenerator<Batch, void, void> {
    let asked = performance.now();
    for await (const batch of batches) {
      this.ms += performance.now() - asked;
      yield batch;
      asked = performance.now();
    }
  }
}

/** What labels have to fit. */
export interface LabelBounds {
  /** Images of a batch. */
  readonly rows: number;
  /** Those that count. */
  readonly real: number;
  /** null: not known. */
  readonly classes: number | null;
}

/**
 * Throws DataError, with `where` as its place, unless there is a label for each image and those that count
 * are classes: a kernel would make NaN of any other.
 */
export function checkLabels(where: string, labels: ArrayLike<number>, bounds: LabelBounds): void {
  const { rows, real, classes } = bounds;
  const fail = (expected: string, got: string) => {
    const todo = 'Give every image the number of its class, from 0';
    return new DataError({ where, expected, got, todo });
  };
  if (labels.length !== rows) {
    throw fail(`${String(rows)} labels, one for each image`, String(labels.length));
  }
  if (!Number.isInteger(real) || real < 0 || real > rows) {
    throw fail(`0 to ${String(rows)} images that count`, String(real));
  }
  for (let row = 0; row < real && classes !== null; row++) {
    const label = labels[row];
    if (Number.isInteger(label) && label >= 0 && label < classes) continue;
    throw fail(`labels from 0 to ${String(classes - 1)}`, `${String(label)} at ${String(row)}`);
  }
}

/** [images, classes] of the logits that an entry gives; null where it gives none. Throws ExecutorError. */
export function logitsShape(program: Program, entry: string): Shape | null {
  const { outputs } = entryNamed(program, entry);
  return Object.hasOwn(outputs, 'logits') ? program.slots[outputs.logits].type.shape : null;
}
