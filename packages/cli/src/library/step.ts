/** The options of a training step, as `train`, `plan` and `bench` take them. */
import type { StepOptions } from '../step/step.js';

/** What trains, in what form, and how a batch is cut; `model` and the preprocessing come from elsewhere. */
export interface StepChoice extends Partial<Omit<StepOptions, 'model' | 'levels'>> {
  /** Side of the input in pixels; default: the model's. */
  readonly imageSize?: number;
}

export const STEP_DEFAULTS = {
  batch: 16,
  optimizer: 'sgd',
  smoothing: 0,
} as const satisfies StepChoice;
