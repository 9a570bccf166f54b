/**
 * Accuracy and loss of a classifier, by class and together. A class may be several of the model's outputs: any of
 * them is right, and their probabilities add up.
 */
import { argmax, crossEntropy, type HostData } from '@thimble/core';

export interface ClassTally {
  readonly name: string;
  readonly images: number;
  readonly correct: number;
}

export interface TalliedClass {
  readonly name: string;
  /** Indices of the model's scores. */
  readonly outputs: readonly number[];
}

export class Tally {
  private readonly classes: readonly TalliedClass[];
  private readonly images: number[];
  private readonly correct: number[];
  private lossSum = 0;

  constructor(classes: readonly TalliedClass[]) {
    this.classes = classes;
    this.images = classes.map(() => 0);
    this.correct = classes.map(() => 0);
  }

  /**
   * Counts one image. Throws DataError for a class with outputs that are none of the model's, or none at all.
   *
   * @param scores its logits, one for each output; @param label index of its class
   */
  add(scores: HostData, label: number): void {
    const { outputs } = this.classes[label] ?? { outputs: [] };
    this.lossSum += crossEntropy(scores, outputs);
    this.images[label]++;
    if (outputs.includes(argmax(scores))) this.correct[label]++;
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
    return this.classes.map(({ name }, label) => ({
      name,
      images: this.images[label],
      correct: this.correct[label],
    }));
  }
}
