/** Sum of two tensors, the second repeated over leading axes where it has fewer. */
import { elements, f32, sameShape, type Shape } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { reshaped } from './reshape.js';
import { expectForm, type NoParams } from './shapes.js';
import { summed } from './sum-rows.js';

/** y[i] = a[i] + b[i mod |b|]; b's shape, leading ones aside, ends a's: [1, N, D] onto [B, N, D]. */
export const add: Op<NoParams, 'a' | 'b', never, 'y', never> = {
  name: 'add',
  summary: 'y[i] = a[i] + b[i mod period]',
  inputs: ['a', 'b'],
  outputs: ['y'],
  params: {},
  infer: ({ a, b }, _params, at) => {
    expectForm(at, 'a', a, 'f32[...]');
    expectForm(at, 'b', b, 'f32[...]');
    const suffix = withoutLeadingOnes(b.shape);
    const end = a.shape.slice(Math.max(0, a.shape.length - suffix.length));
    expectShape(
      b.shape.length <= a.shape.length && sameShape(end, suffix),
      at,
      `b to match the last axes of a f32[${a.shape.join(',')}]`,
      b,
    );
    return { y: a };
  },
  grad: ({ emitter, inputs, outputGrads, needs }) => {
    const dy = outputGrads.y;
    if (!dy) return {};
    if (!needs('b')) return needs('a') ? { a: dy } : {};
    const shape = inputs.b.type.shape;
    let db = dy;
    if (elements(shape) < elements(dy.type.shape)) {
      const axes = dy.type.shape.length - withoutLeadingOnes(shape).length;
      db = summed(emitter, dy, axes);
    }
    return { ...(needs('a') && { a: dy }), b: reshaped(emitter, db, shape) };
  },
  flops: ({ a }) => elements(a.shape),
  recompute: 'cheap',
  rowwise: ({ a, b }) => {
    if (sameShape(a.shape, b.shape)) return ['a', 'b'];
    return withoutLeadingOnes(b.shape).length <= 1 ? ['a'] : [];
  },
  reference: ({ a, b }, { y }) => {
    for (let i = 0; i < y.length; i++) y[i] = a[i] + b[i % b.length];
  },
  inPlace: [
    ['y', 'a'],
    ['y', 'b'],
  ],
  scalars: { count: 'int', period: 'int' },
  encode: ({ a, b }) => ({ count: elements(a.shape), period: elements(b.shape) }),
  samples: [
    { title: 'same shape', params: {}, inputs: { a: { type: f32(3, 5) }, b: { type: f32(3, 5) } } },
    {
      title: 'position embedding',
      params: {},
      inputs: { a: { type: f32(3, 7, 5) }, b: { type: f32(1, 7, 5) } },
    },
    { title: 'suffix', params: {}, inputs: { a: { type: f32(2, 3, 67) }, b: { type: f32(67) } } },
    { title: 'scalar', params: {}, inputs: { a: { type: f32(2, 9) }, b: { type: f32(1, 1) } } },
    {
      title: 'ones',
      params: {},
      inputs: { a: { type: f32(1, 1, 19) }, b: { type: f32(1, 19) } },
    },
    {
      title: 'long',
      params: {},
      inputs: { a: { type: f32(3, 1031) }, b: { type: f32(3, 1031) } },
    },
    {
      title: 'long suffix',
      params: {},
      inputs: { a: { type: f32(5, 11, 67) }, b: { type: f32(11, 67) } },
    },
  ],
};

function withoutLeadingOnes(shape: Shape): Shape {
  const first = shape.findIndex((extent) => extent !== 1);
  return first < 0 ? [] : shape.slice(first);
}
