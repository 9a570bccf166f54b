/** What the step benchmark trains. */
import { VIT_PRESETS, type VitConfig } from '@thimble/core';

export interface StepCase {
  readonly name: string;
  readonly model: VitConfig;
  readonly batch: number;
  readonly learningRate: number;
  /** Steps of one turn: enough that a turn takes about a second. */
  readonly stepsPerTurn: number;
  /** Whether peers take part whose step takes ten seconds and more. */
  readonly slowPeers: boolean;
}

/** The first one is the case that the README quotes. */
export const STEP_CASES: readonly StepCase[] = [
  stepCase('vit-tiny-16', 8, { learningRate: 0.01, stepsPerTurn: 2, slowPeers: true }),
  stepCase('vit-micro', 64, { learningRate: 0.05, stepsPerTurn: 4, slowPeers: false }),
  stepCase('vit-base-32', 16, { learningRate: 0.01, stepsPerTurn: 1, slowPeers: false }),
];

function stepCase(
  name: keyof typeof VIT_PRESETS,
  batch: number,
  rest: Pick<StepCase, 'learningRate' | 'stepsPerTurn' | 'slowPeers'>,
): StepCase {
  return { name, model: VIT_PRESETS[name], batch, ...rest };
}
