/** Accuracy and loss of a classifier, by class and together. */
import { argmax, crossEntropy, type HostData } from '@thimble/core';

export interface ClassTally {
  readonly name: string;
  readonly images: number;
  readonly correct: number;
}

export class Tally {
  private readonly classes: readonly string[];
  private readonly images: number[];
  private readonly correct: number[];
  private lossSum = 0;

  constructor(classes: readonly string[]) {
    this.classes = classes;
    this.images = classes.map(() => 0);
    this.correct = classes.map(() => 0);
  }

  /** Counts one image. `scores` are its logits [classes]. Throws DataError for a label beyond them. */
  add(scores: HostData, label: number): void {
    this.lossSum += crossEntropy(scores, [label]);
    this.images[label]++;
    if (argmax(scores) === label) this.correct[label]++;
  }

  get total(): number {
    return this.images.reduce((sum, count) => sum + count, 0);
  }

  /** NaN for no images. */
  get accuracy(): number {
    return this.correct.reduce((sum, count) => sum + count, 0) / this.total;
  }

  /** Mean cross-entropy; NaN for no images. */
  get loss(): number {
    return this.lossSum / this.total;
  }

  get perClass(): readonly ClassTally[] {
    return this.classes.map((name, label) => ({
      name,
      images: this.images[label],
      correct: this.correct[label],
    }));
  }
}
