/** What the step benchmark trains. */
import { modelConfig, type ModelConfig, type ModelName } from '@thimble/core';

export interface StepCase {
  readonly name: string;
  readonly model: ModelConfig;
  readonly batch: number;
  readonly learningRate: number;
  /** Steps of one turn: enough that a turn takes about a second. */
  readonly stepsPerTurn: number;
  /** Steps whose losses are compared before anything is timed. Default: 5. */
  readonly checkedSteps?: number;
  /** Contestants whose steps would take most of the time of the whole benchmark. */
  readonly leaveOut?: RegExp;
}

/** Of the peers PyTorch alone trains convolutional networks here: tfjs has no gradients of convolutions. */
const NETWORK = {
  learningRate: 0.01,
  stepsPerTurn: 1,
  leaveOut: /^(jax-js|tfjs|onnxruntime)/u,
};

/** The first one is the case that docs/benchmarks.md quotes. */
export const STEP_CASES: readonly StepCase[] = [
  stepCase('vit-tiny-16', 8, { learningRate: 0.01, stepsPerTurn: 2 }),
  stepCase('vit-micro', 64, { learningRate: 0.05, stepsPerTurn: 4, leaveOut: /^(jax-js|tfjs)$/u }),
  stepCase('vit-base-32', 16, {
    learningRate: 0.01,
    stepsPerTurn: 1,
    leaveOut: /wasm|web|^(jax-js|tfjs)$/u,
  }),
  // Random weights behind fifty norms tell roundings apart within five steps: PyTorch's third loss is 0.0007 off in part.
  stepCase('mobilenet-v2', 16, { ...NETWORK, learningRate: 0.001, checkedSteps: 2 }),
  stepCase('resnet-18', 16, NETWORK),
];

function stepCase(
  name: ModelName,
  batch: number,
  rest: Pick<StepCase, 'learningRate' | 'stepsPerTurn' | 'leaveOut' | 'checkedSteps'>,
): StepCase {
  return { name, model: modelConfig(name), batch, ...rest };
}
