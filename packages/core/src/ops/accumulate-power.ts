/** Sum of squares or magnitudes of a tensor over many runs, in place: how much a parameter matters. */
import { elements, f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type AccumulatePowerParams = {
  /** 2: squares; 1: magnitudes. */
  readonly power: number;
};

/** acc ← acc + |x|ᵖ for p = 1 or 2, in the memory of acc. */
export const accumulatePower: Op<AccumulatePowerParams, 'acc' | 'x', never, 'y', never> = {
  name: 'accumulate_power',
  summary: 'acc ← acc + |x|ᵖ, p = 1 or 2',
  inputs: ['acc', 'x'],
  outputs: ['y'],
  params: { power: 'whole' },
  infer: ({ acc, x }, { power }, at) => {
    expectForm(at, 'acc', acc, 'f32[...]');
    expectType(at, 'x', x, acc);
    expectShape(power === 1 || power === 2, at, 'power 1 or 2', `power ${String(power)}`);
    return { y: acc };
  },
  flops: ({ acc }, { power }) => power * elements(acc.shape),
  recompute: 'cheap',
  reference: ({ acc, x }, { y }, _types, { power }) => {
    for (let i = 0; i < y.length; i++) y[i] = acc[i] + Math.abs(x[i]) ** power;
  },
  updates: [['y', 'acc']],
  scalars: { count: 'int', power: 'int' },
  encode: ({ acc }, { power }) => ({ count: elements(acc.shape), power }),
  samples: [
    {
      title: 'squares',
      params: { power: 2 },
      inputs: { acc: { type: f32(5, 7) }, x: { type: f32(5, 7) } },
    },
    {
      title: 'magnitudes',
      params: { power: 1 },
      inputs: { acc: { type: f32(5, 7) }, x: { type: f32(5, 7) } },
    },
    {
      title: 'long squares',
      params: { power: 2 },
      inputs: { acc: { type: f32(1030) }, x: { type: f32(1030) } },
    },
    {
      title: 'long magnitudes',
      params: { power: 1 },
      inputs: { acc: { type: f32(3, 1031) }, x: { type: f32(3, 1031) } },
    },
  ],
};
