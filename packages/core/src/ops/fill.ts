/** Overwrites a tensor with one value; gradient accumulators are zeroed with it. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm } from './shapes.js';

export type FillParams = {
  readonly value: number;
};

/** y[i] = value, in the memory of x. */
export const fill: Op<FillParams, 'x', never, 'y', never> = {
  name: 'fill',
  summary: 'y[i] = value, written over x',
  inputs: ['x'],
  outputs: ['y'],
  params: { value: 'number' },
  infer: ({ x }, _params, at) => {
    expectForm(at, 'x', x, 'f32[...]');
    return { y: x };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: (_inputs, { y }, _types, { value }) => {
    y.fill(value);
  },
  updates: [['y', 'x']],
  scalars: { count: 'int', value: 'float' },
  encode: ({ x }, { value }) => ({ count: elements(x.shape), value }),
  samples: [
    { title: 'zero', params: { value: 0 }, inputs: { x: { type: f32(3, 5) } } },
    { title: 'odd size', params: { value: -1.5 }, inputs: { x: { type: f32(67) } } },
    { title: 'scalar', params: { value: 2 }, inputs: { x: { type: f32() } } },
    { title: 'long', params: { value: 0.5 }, inputs: { x: { type: f32(3, 1031) } } },
  ],
};
