/**
 * Pictures as a decoder gives them to the numbers that a model reads: a byte for each channel of a pixel, and
 * a table of what each of the 256 levels stands for. A batch waits in a quarter of the bytes of its numbers. Levels are no
 * weights and the table is constant, so there is no gradient.
 */
import { LEVEL_OFFSET } from '../ir/host.js';
import { elements, f32, i8 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm, expectType, type NoParams } from './shapes.js';

/** Levels of a byte. */
export const LEVEL_COUNT = 256;

/** y[b, c, h, w] = table[c, x[b, c, h, w] + 128]; x [B, C, H, W], table [C, 256]. */
export const normalise: Op<NoParams, 'x' | 'table', never, 'y', never> = {
  name: 'normalise',
  summary: 'y[b, c, h, w] = table[c, x[b, c, h, w] + 128]',
  inputs: ['x', 'table'],
  outputs: ['y'],
  params: {},
  infer: ({ x, table }, _params, at) => {
    expectForm(at, 'x', x, 'i8[B,C,H,W]');
    expectType(at, 'table', table, f32(x.shape[1], LEVEL_COUNT));
    return { y: f32(...x.shape) };
  },
  flops: () => 0,
  recompute: 'cheap',
  reference: ({ x, table }, { y }, types) => {
    const [, channels, height, width] = types.x.shape;
    for (let i = 0; i < y.length; i++) {
      const channel = Math.floor(i / (height * width)) % channels;
      y[i] = table[channel * LEVEL_COUNT + x[i] + LEVEL_OFFSET];
    }
  },
  scalars: { count: 'int', plane: 'int', channels: 'int' },
  encode: ({ x }) => ({
    count: elements(x.shape),
    plane: x.shape[2] * x.shape[3],
    channels: x.shape[1],
  }),
  samples: [
    sample('small', [2, 3, 2, 3]),
    sample('one channel', [3, 1, 5, 7]),
    sample('longer than a piece', [2, 3, 31, 19]),
  ],
};

function sample(title: string, shape: readonly number[]) {
  return {
    title,
    params: {},
    inputs: {
      x: { type: i8(...shape), low: -128, high: 128 },
      table: { type: f32(shape[1], LEVEL_COUNT) },
    },
  };
}
