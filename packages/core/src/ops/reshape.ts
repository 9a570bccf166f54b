/**
 * The same elements under another shape: a view, so it costs neither memory nor time.
 *
 * The shape travels as text (`8,197,192`) because params are plain scalars; `reshapeParams` writes
 * it.
 */
import { elements, f32, typeText, type Shape } from '../ir/types.js';
import type { Value } from '../ir/graph.js';
import { expectShape, type Emitter, type Op } from './op.js';

export type ReshapeParams = {
  /** Extents joined by commas; empty for a scalar. */
  readonly shape: string;
};

export function reshapeParams(shape: Shape): ReshapeParams {
  return { shape: shape.join(',') };
}

/** `value` under `shape`; emits nothing when it has that shape already. */
export function reshaped(emitter: Emitter, value: Value, shape: Shape): Value {
  const params = reshapeParams(shape);
  if (params.shape === reshapeParams(value.type.shape).shape) return value;
  return emitter.emit(reshape, { x: value }, params).y;
}

/** y = x with the elements in the same order. */
export const reshape: Op<ReshapeParams, 'x', never, 'y', never> = {
  name: 'reshape',
  summary: 'y = x under another shape',
  inputs: ['x'],
  outputs: ['y'],
  params: { shape: 'text' },
  infer: ({ x }, params, at) => {
    const y = { dtype: x.dtype, shape: shapeOf(params.shape) };
    const fits = y.shape.every((extent) => Number.isSafeInteger(extent) && extent >= 1);
    expectShape(
      fits && elements(y.shape) === elements(x.shape),
      at,
      `a shape of ${String(elements(x.shape))} elements for x of type ${typeText(x)}`,
      `[${params.shape}]`,
    );
    return { y };
  },
  grad: ({ emitter, inputs, outputGrads, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    return { x: reshaped(emitter, outputGrads.y, inputs.x.type.shape) };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ x }, { y }) => y.set(x),
  view: ['y', 'x'],
  scalars: {},
  encode: () => ({}),
  samples: [
    { title: 'split an axis', params: { shape: '3,5,2' }, inputs: { x: { type: f32(3, 10) } } },
    { title: 'drop an axis', params: { shape: '7' }, inputs: { x: { type: f32(1, 7) } } },
    { title: 'to a scalar', params: { shape: '' }, inputs: { x: { type: f32(1) } } },
  ],
};

function shapeOf(text: string): Shape {
  return text === '' ? [] : text.split(',').map(Number);
}
