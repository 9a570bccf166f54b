/**
 * The bias of window attention from its table: one number for each head and displacement of two tokens.
 *
 * Tokens i = (iy, ix) and j = (jy, jx) of a window of w × w, row by row, N = w²; the table has a row for
 * each displacement (iy − jy, ix − jx), counted from (1 − w, 1 − w).
 *
 * Reference: Liu et al., "Swin Transformer", 2021 (arXiv:2103.14030), equation 4.
 */
import { f32 } from '../ir/types.js';
import type { Op } from './op.js';
import {
  displacement,
  relativePositionBiasGrad,
  tableType,
  type RelativePositionParams,
} from './relative-position-bias-grad.js';
import { expectInteger, expectType } from './shapes.js';

/** y[h, i, j] = table[(iy − jy + w − 1)(2w − 1) + ix − jx + w − 1, h]; table [(2w−1)², heads]. */
export const relativePositionBias: Op<RelativePositionParams, 'table', never, 'y', never> = {
  name: 'relative_position_bias',
  summary: 'y[h, i, j] = table[displacement of tokens i and j, h]',
  inputs: ['table'],
  outputs: ['y'],
  params: { window: 'whole' },
  infer: ({ table }, { window }, at) => {
    expectInteger(at, 'window', window, 1);
    const heads = table.shape[table.shape.length - 1];
    expectType(at, 'table', table, tableType(window, heads));
    return { y: f32(heads, window ** 2, window ** 2) };
  },
  grad: ({ emitter, outputGrads, params, needs }) => {
    if (!outputGrads.y || !needs('table')) return {};
    return { table: emitter.emit(relativePositionBiasGrad, { dy: outputGrads.y }, params).dtable };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ table }, { y }, types, { window }) => {
    const [heads, tokens] = types.y.shape;
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < tokens; i++) {
        for (let j = 0; j < tokens; j++) {
          y[(h * tokens + i) * tokens + j] = table[displacement(window, i, j) * heads + h];
        }
      }
    }
  },
  scalars: { heads: 'int', window: 'int' },
  encode: ({ table }, { window }) => ({ heads: table.shape[1], window }),
  samples: [
    { title: 'small', params: { window: 2 }, inputs: { table: { type: f32(9, 2) } } },
    { title: 'one token', params: { window: 1 }, inputs: { table: { type: f32(1, 3) } } },
    { title: 'swin', params: { window: 7 }, inputs: { table: { type: f32(169, 3) } } },
    { title: 'one head', params: { window: 4 }, inputs: { table: { type: f32(49, 1) } } },
  ],
};
