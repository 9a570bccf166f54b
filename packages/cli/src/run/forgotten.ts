/** What a run says of images that were forgotten after its training, in the order in which they were. */
import { schema } from '@thimble/core';

export interface ForgottenRecord {
  /** Name of the class; null where single images were forgotten. */
  readonly class: string | null;
  /** How many images of training. */
  readonly images: number;
  /** From which weights it started; later ones start from what the first has left. */
  readonly weights: 'last' | 'best';
  readonly alpha: number;
  readonly lambda: number;
  /** How α came about. */
  readonly threshold: 'given' | 'automatic' | 'swept';
  /** Share of the model's weights that were dampened. */
  readonly share: number;
  /** Whose squared gradients are averaged: those of single images or of batches. */
  readonly importance: 'sample' | 'batch';
  /** Images of a micro-batch. */
  readonly pass: number;
  /** By the norm of the logits instead of the loss. */
  readonly labelFree: boolean;
  /** With what the importance was compared. */
  readonly base: 'retained' | 'all';
}

const { nullable, number, objectOf, oneOf, text, truth, whole } = schema;

const COUNT = whole({ most: Number.MAX_SAFE_INTEGER });

export const forgottenReader: schema.Reader<ForgottenRecord> = objectOf<ForgottenRecord>({
  class: nullable(text({ most: 1000 })),
  images: COUNT,
  weights: oneOf('last', 'best'),
  alpha: number({ least: 0 }),
  lambda: number({ least: 0 }),
  threshold: oneOf('given', 'automatic', 'swept'),
  share: number({ least: 0, most: 1 }),
  importance: oneOf('sample', 'batch'),
  pass: COUNT,
  labelFree: truth,
  base: oneOf('retained', 'all'),
});
