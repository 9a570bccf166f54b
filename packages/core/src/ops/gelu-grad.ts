/**
 * Gradient of the exact GELU and, where the backward pass needs it again, its value: both come from
 * one evaluation of Φ.
 */
import { elements, f32 } from '../ir/types.js';
import { normalCdf, normalPdf } from './erf.js';
import type { Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type GeluGradParams = {
  /** Whether y is wanted: what gelu gives for x, with the same bits. */
  readonly value?: boolean;
};

/** dx = dy · (Φ(x) + x · φ(x)); y = x · Φ(x). */
export const geluGrad: Op<GeluGradParams, 'x' | 'dy', never, 'dx', 'y'> = {
  name: 'gelu_grad',
  gradientOf: 'gelu',
  summary: 'dx = dy · (Φ(x) + x · φ(x)); y = x · Φ(x)',
  inputs: ['x', 'dy'],
  outputs: ['dx', 'y?'],
  params: { value: 'truth?' },
  infer: ({ x, dy }, { value }, at) => {
    expectForm(at, 'x', x, 'f32[...]');
    expectType(at, 'dy', dy, x);
    return { dx: x, ...(value && { y: x }) };
  },
  flops: ({ x }) => 30 * elements(x.shape),
  recompute: 'cheap',
  reference: ({ x, dy }, { dx, y }) => {
    for (let i = 0; i < dx.length; i++) {
      // Either output may lie in the memory of an input: read both before writing.
      const [at, slope] = [x[i], dy[i]];
      const cdf = normalCdf(at);
      dx[i] = slope * (cdf + at * normalPdf(at));
      if (y) y[i] = at * cdf;
    }
  },
  inPlace: [
    ['dx', 'dy'],
    ['dx', 'x'],
    ['y', 'x'],
  ],
  scalars: { count: 'int' },
  encode: ({ x }) => ({ count: elements(x.shape) }),
  samples: [
    {
      title: 'small',
      params: {},
      inputs: { x: { type: f32(3, 5), low: -3, high: 3 }, dy: { type: f32(3, 5) } },
    },
    {
      title: 'tails',
      params: {},
      inputs: { x: { type: f32(1, 67), low: -12, high: 12 }, dy: { type: f32(1, 67) } },
    },
    {
      title: 'with the value',
      params: { value: true },
      inputs: { x: { type: f32(3, 347), low: -6, high: 6 }, dy: { type: f32(3, 347) } },
    },
    {
      title: 'long',
      params: {},
      inputs: { x: { type: f32(3, 1031), low: -3, high: 3 }, dy: { type: f32(3, 1031) } },
    },
  ],
};
