/** Multiplication by a number known at compile time: the weight α/r of an adapter, a change of sign. */
import { elements, f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm } from './shapes.js';

export type ScaleParams = {
  readonly factor: number;
};

/** y[i] = factor · x[i]. */
export const scale: Op<ScaleParams, 'x', never, 'y', never> = {
  name: 'scale',
  summary: 'y[i] = factor · x[i]',
  inputs: ['x'],
  outputs: ['y'],
  params: { factor: 'number' },
  infer: ({ x }, { factor }, at) => {
    expectForm(at, 'x', x, 'f32[...]');
    expectShape(Number.isFinite(factor), at, 'a finite factor', `factor ${String(factor)}`);
    return { y: x };
  },
  grad: ({ emitter, params, outputGrads, needs }) => {
    const dy = outputGrads.y;
    return dy && needs('x') ? { x: emitter.emit(scale, { x: dy }, params).y } : {};
  },
  flops: ({ x }) => elements(x.shape),
  recompute: 'cheap',
  rowwise: () => ['x'],
  reference: ({ x }, { y }, _types, { factor }) => {
    for (let i = 0; i < y.length; i++) y[i] = factor * x[i];
  },
  inPlace: [['y', 'x']],
  scalars: { count: 'int', factor: 'float' },
  encode: ({ x }, { factor }) => ({ count: elements(x.shape), factor }),
  samples: [
    { title: 'sign', params: { factor: -1 }, inputs: { x: { type: f32(5, 7) } } },
    { title: 'scalar', params: { factor: 2 }, inputs: { x: { type: f32() } } },
    { title: 'long', params: { factor: 0.375 }, inputs: { x: { type: f32(3, 1031) } } },
  ],
};
