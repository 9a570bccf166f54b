/**
 * Divergence: a run that flies apart has a loss far above that of guessing, finite or not, and nothing
 * may be kept of it.
 *
 * Reference: ln C, the cross-entropy of a uniform guess among C classes whatever the label smoothing, or
 * the loss of the first update where that is more (weights that were trained for other classes). A run
 * has diverged where at the end of an epoch
 *
 *   training     the median loss of the last quarter of the epoch's updates (of five at least) is above
 *                30 times the reference: an outlier, or a bad start that was overcome, does not count
 *   validation   the mean loss is above 100 times the reference: a model that knows its training images
 *                by heart is confidently wrong on others
 *
 * or either is no finite number. Measured on vit-micro: with random labels, learned by heart, the largest
 * ratios were 1.3 and 7.1; rates at which the loss still came back reached 15 and 13; the slowest
 * divergences began at 67 and 103.
 */
import { TrainingError } from '../errors.js';
import type { Program } from '../program.js';
import { median } from './statistics.js';

const TRAINING_FACTOR = 30;
const VALIDATION_FACTOR = 100;
/** Updates whose median counts, at least. */
const FEWEST = 5;

const TODO = 'Lower the learning rate, or clip gradients';

export class DivergenceCheck {
  /** Loss of a uniform guess; infinite without logits: losses then only have to be finite. */
  private readonly guess: number;
  private readonly first: () => number | null;

  /** @param first the loss of the first update of all; null before it */
  constructor(program: Program, first: () => number | null) {
    this.guess = Math.log(classesOf(program));
    this.first = first;
  }

  /** Throws TrainingError. @param losses of an epoch's updates, in order; all are finite */
  training(losses: readonly number[], where: string): void {
    if (losses.length === 0) return;
    const tail = losses.slice(-Math.max(FEWEST, Math.ceil(losses.length / 4)));
    this.check('training', median(tail), TRAINING_FACTOR, where);
  }

  /** Throws TrainingError. @param loss mean over the validation images */
  validation(loss: number, where: string): void {
    if (!Number.isFinite(loss)) throw lossNotFinite(loss, where);
    this.check('validation', loss, VALIDATION_FACTOR, where);
  }

  private check(what: string, loss: number, factor: number, where: string): void {
    const most = factor * Math.max(this.guess, this.first() ?? 0);
    if (loss <= most) return;
    const times = `${String(factor)} times that of guessing or of the first update`;
    throw new TrainingError({
      where,
      expected: `a ${what} loss of at most ${most.toPrecision(3)}, ${times}`,
      got: `${loss.toPrecision(3)}: the run has diverged`,
      todo: TODO,
    });
  }
}

/** A loss that is no finite number: nothing can come of the weights behind it. */
export function lossNotFinite(got: number | string, where: string): TrainingError {
  return new TrainingError({ where, expected: 'a finite loss', got: String(got), todo: TODO });
}

/** Of the first logits that an entry gives. */
function classesOf({ entries, slots }: Program): number {
  const giving = entries.find(({ outputs }) => Object.hasOwn(outputs, 'logits'));
  return giving ? (slots[giving.outputs['logits']].type.shape.at(-1) ?? Infinity) : Infinity;
}
