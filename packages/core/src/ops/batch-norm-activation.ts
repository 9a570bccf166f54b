/**
 * The params of batch normalisation and the activations that it applies to its result, with their derivatives: where
 * one has a kink, it is PyTorch's choice of the two.
 */
import { expectShape } from './op.js';

export type BatchNormActivation = 'none' | 'relu' | 'relu6' | 'hard-swish' | 'silu';

export type BatchNormParams = {
  /** Added to the variance. */
  readonly eps: number;
  /** Whether mean and variance are those of x, as `batch_norm_statistics` computes them. */
  readonly batch: boolean;
  readonly activation: BatchNormActivation;
};

export const BATCH_NORM_PARAMS = { eps: 'size', batch: 'truth', activation: 'text' } as const;

interface Activation {
  /** What the kernels call it: kernels/activation.h. */
  readonly code: number;
  value(x: number): number;
  slope(x: number): number;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

export const BATCH_NORM_ACTIVATIONS: { readonly [K in BatchNormActivation]: Activation } = {
  none: { code: 0, value: (x) => x, slope: () => 1 },
  relu: { code: 1, value: (x) => Math.max(x, 0), slope: (x) => (x > 0 ? 1 : 0) },
  relu6: {
    code: 2,
    value: (x) => Math.min(Math.max(x, 0), 6),
    slope: (x) => (x > 0 && x < 6 ? 1 : 0),
  },
  'hard-swish': {
    code: 3,
    value: (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6,
    slope: (x) => (x <= -3 ? 0 : x < 3 ? x / 3 + 0.5 : 1),
  },
  silu: {
    code: 4,
    value: (x) => x * sigmoid(x),
    slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
  },
};

/** Checks a param against the list, which a program from outside need not keep to. */
export function expectActivation(at: string, activation: string): void {
  const known = Object.keys(BATCH_NORM_ACTIVATIONS);
  const expected = `activation to be one of ${known.join(', ')}`;
  expectShape(known.includes(activation), at, expected, `"${activation}"`);
}
