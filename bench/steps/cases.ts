/** What the step benchmark trains. */
import { VIT_PRESETS, type VitConfig } from '@thimble/core';

export interface StepCase {
  readonly name: string;
  readonly model: VitConfig;
  readonly batch: number;
  readonly learningRate: number;
  /** Steps of one turn: enough that a turn takes about a second. */
  readonly stepsPerTurn: number;
  /** Contestants whose steps would take most of the time of the whole benchmark. */
  readonly leaveOut?: RegExp;
}

/** The first one is the case that docs/benchmarks.md quotes. */
export const STEP_CASES: readonly StepCase[] = [
  stepCase('vit-tiny-16', 8, { learningRate: 0.01, stepsPerTurn: 2 }),
  stepCase('vit-micro', 64, { learningRate: 0.05, stepsPerTurn: 4, leaveOut: /^(jax-js|tfjs)$/u }),
  stepCase('vit-base-32', 16, {
    learningRate: 0.01,
    stepsPerTurn: 1,
    leaveOut: /wasm|web|^(jax-js|tfjs)$/u,
  }),
];

function stepCase(
  name: keyof typeof VIT_PRESETS,
  batch: number,
  rest: Pick<StepCase, 'learningRate' | 'stepsPerTurn' | 'leaveOut'>,
): StepCase {
  return { name, model: VIT_PRESETS[name], batch, ...rest };
}
