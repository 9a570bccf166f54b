/** Overwrites a state or parameter with a computed tensor: how factors are carried to the next step. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm, expectType, type NoParams } from './shapes.js';

/** y = value, in the memory of target. */
export const assign: Op<NoParams, 'target' | 'value', never, 'y', never> = {
  name: 'assign',
  summary: 'y[i] = value[i], written over target',
  inputs: ['target', 'value'],
  outputs: ['y'],
  params: {},
  infer: ({ target, value }, _params, at) => {
    expectForm(at, 'target', target, 'f32[...]');
    expectType(at, 'value', value, target);
    return { y: target };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ value }, { y }) => {
    y.set(value);
  },
  updates: [['y', 'target']],
  scalars: { count: 'int' },
  encode: ({ target }) => ({ count: elements(target.shape) }),
  samples: [
    {
      title: 'odd',
      params: {},
      inputs: { target: { type: f32(5, 7) }, value: { type: f32(5, 7) } },
    },
    { title: 'scalar', params: {}, inputs: { target: { type: f32() }, value: { type: f32() } } },
    {
      title: 'long',
      params: {},
      inputs: { target: { type: f32(3, 1031) }, value: { type: f32(3, 1031) } },
    },
  ],
};
