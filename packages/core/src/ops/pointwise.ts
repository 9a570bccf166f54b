/** What the ops that go element by element have in common: y = f(x), and its gradient of dy and x or y. */
import { elements, f32, type TensorType } from '../ir/types.js';
import type { SampleTensor } from './op.js';
import { expectForm, expectType } from './shapes.js';

/** Parts of the record of y = f(x). */
export const POINTWISE = {
  inputs: ['x'],
  outputs: ['y'],
  recompute: 'cheap',
  rowwise: () => ['x'] as const,
  inPlace: [['y', 'x']],
  scalars: { count: 'int' },
  encode: ({ x }: { readonly x: TensorType }) => ({ count: elements(x.shape) }),
} as const;

/** Parts of the record of dx = dy · f′. */
export const POINTWISE_GRAD = {
  outputs: ['dx'],
  recompute: 'cheap',
  scalars: { count: 'int' },
  encode: ({ dy }: { readonly dy: TensorType }) => ({ count: elements(dy.shape) }),
} as const;

/** The shape rule of y = f(x). */
export function pointwiseResult({ x }: { readonly x: TensorType }, at: string) {
  expectForm(at, 'x', x, 'f32[...]');
  return { y: x };
}

/** The shape rule of a gradient that reads `operand` and dy. */
export function pointwiseGradResult(
  operand: 'x' | 'y',
  type: TensorType,
  dy: TensorType,
  at: string,
) {
  expectForm(at, operand, type, 'f32[...]');
  expectType(at, 'dy', dy, type);
  return { dx: dy };
}

/** Inputs to try an op on: few elements, some vectors and a rest, and more than a piece of a thread. */
export const POINTWISE_SAMPLES: readonly { readonly title: string; readonly x: SampleTensor }[] = [
  { title: 'small', x: { type: f32(3, 5), low: -4, high: 4 } },
  { title: 'tails', x: { type: f32(1, 67), low: -40, high: 40 } },
  { title: 'long', x: { type: f32(3, 401), low: -8, high: 8 } },
];
