/** Sum of gradients over micro-batches, in place. */
import { elements, f32 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm, expectType, type NoParams } from './shapes.js';

/** acc ← acc + x, in the memory of acc. */
export const accumulate: Op<NoParams, 'acc' | 'x', never, 'y', never> = {
  name: 'accumulate',
  summary: 'acc ← acc + x',
  inputs: ['acc', 'x'],
  outputs: ['y'],
  params: {},
  infer: ({ acc, x }, _params, at) => {
    expectForm(at, 'acc', acc, 'f32[...]');
    expectType(at, 'x', x, acc);
    return { y: acc };
  },
  flops: ({ acc }) => elements(acc.shape),
  recompute: 'cheap',
  reference: ({ acc, x }, { y }) => {
    for (let i = 0; i < y.length; i++) y[i] = acc[i] + x[i];
  },
  gradient: 'x',
  updates: [['y', 'acc']],
  scalars: { count: 'int' },
  encode: ({ acc }) => ({ count: elements(acc.shape) }),
  samples: [
    { title: 'odd', params: {}, inputs: { acc: { type: f32(5, 7) }, x: { type: f32(5, 7) } } },
    { title: 'long', params: {}, inputs: { acc: { type: f32(1030) }, x: { type: f32(1030) } } },
  ],
};
