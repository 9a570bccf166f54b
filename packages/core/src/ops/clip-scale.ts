/** The factor of global-norm clipping, as in torch.nn.utils.clip_grad_norm_. */
import { f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectType } from './shapes.js';

export type ClipScaleParams = {
  readonly maxNorm: number;
};

/** scale = min(1, maxNorm / (√total + 1e-6)); total is the sum of squares, and NaN stays NaN. */
export const clipScale: Op<ClipScaleParams, 'total', never, 'scale', never> = {
  name: 'clip_scale',
  summary: 'scale = min(1, maxNorm / (√total + 1e-6))',
  inputs: ['total'],
  outputs: ['scale'],
  params: { maxNorm: 'size' },
  infer: ({ total }, { maxNorm }, at) => {
    expectType(at, 'total', total, f32());
    expectShape(maxNorm > 0, at, 'maxNorm above 0', `maxNorm ${String(maxNorm)}`);
    return { scale: f32() };
  },
  flops: () => 3,
  recompute: 'cheap',
  reference: ({ total }, { scale }, _types, { maxNorm }) => {
    scale[0] = Math.min(1, maxNorm / (Math.sqrt(total[0]) + 1e-6));
  },
  inPlace: [['scale', 'total']],
  scalars: { maxNorm: 'float' },
  encode: (_types, { maxNorm }) => ({ maxNorm }),
  samples: [
    { title: 'clips', params: { maxNorm: 1 }, inputs: { total: { type: f32(), values: [9] } } },
    { title: 'keeps', params: { maxNorm: 1 }, inputs: { total: { type: f32(), values: [0.25] } } },
    { title: 'zero', params: { maxNorm: 0.5 }, inputs: { total: { type: f32(), values: [0] } } },
  ],
};
