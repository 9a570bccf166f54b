/**
 * Random numbers inside a program: a function of a seed, a count and the tensor's own salt, with the
 * same bits on every executor and for any number of threads.
 *
 * Four neighbours are the words of one block of Philox4x32-10 under the key (seed, salt), at the
 * counter (block, 0, count, 0). The upper 24 bits of a word make an odd whole number below 2²⁴ in
 * magnitude, which a float32 holds exactly; times bound · 2⁻²⁴ it is rounded once.
 *
 * Reference: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
import { elements, f32, i32 } from '../ir/types.js';
import { philox4x32 } from '../random.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type RandomUniformParams = {
  /** The numbers are within ± bound, with variance bound²/3. */
  readonly bound: number;
  /** Tells apart tensors that are drawn with the same seed and count; below 2³¹. */
  readonly salt: number;
};

/** y[i] = a number in (−bound, bound), in the memory of x. */
export const randomUniform: Op<RandomUniformParams, 'x' | 'seed' | 'count', never, 'y', never> = {
  name: 'random_uniform',
  summary: 'y[i] = a number in (−bound, bound) drawn by (seed, count, salt, i), written over x',
  inputs: ['x', 'seed', 'count'],
  outputs: ['y'],
  params: { bound: 'size', salt: 'whole' },
  infer: ({ x, seed, count }, { salt }, at) => {
    expectForm(at, 'x', x, 'f32[...]');
    expectType(at, 'seed', seed, i32());
    expectType(at, 'count', count, i32());
    const isWord = Number.isSafeInteger(salt) && salt >= 0 && salt < 2 ** 31;
    expectShape(isWord, at, 'salt to be a whole number below 2^31', `salt ${String(salt)}`);
    return { y: x };
  },
  flops: ({ x }) => elements(x.shape),
  recompute: 'cheap',
  reference: ({ seed, count }, { y }, _types, { bound, salt }) => {
    const step = stepOf(bound);
    const key = Uint32Array.of(seed[0], salt);
    const words = new Uint32Array(4);
    for (let i = 0; i < y.length; i++) {
      if (i % 4 === 0) philox4x32(Uint32Array.of(i / 4, 0, count[0], 0), key, words);
      y[i] = Math.fround(step * (2 * (words[i % 4] >>> 8) + 1 - 2 ** 24));
    }
  },
  updates: [['y', 'x']],
  scalars: { elements: 'int', salt: 'int', step: 'float' },
  encode: ({ x }, { bound, salt }) => ({ elements: elements(x.shape), salt, step: stepOf(bound) }),
  samples: [
    {
      title: 'odd size',
      params: { bound: 1, salt: 0 },
      inputs: {
        x: { type: f32(7, 11) },
        seed: { type: i32(), values: [0] },
        count: { type: i32(), values: [0] },
      },
    },
    {
      title: 'negative seed, scaled',
      params: { bound: 0.125, salt: 2147483647 },
      inputs: {
        x: { type: f32(3, 1031) },
        seed: { type: i32(), values: [-1] },
        count: { type: i32(), values: [41] },
      },
    },
    {
      title: 'scalar',
      params: { bound: 2, salt: 5 },
      inputs: {
        x: { type: f32() },
        seed: { type: i32(), values: [7] },
        count: { type: i32(), values: [1] },
      },
    },
  ],
};

/** What the whole numbers are multiplied by, as a float32. */
function stepOf(bound: number): number {
  return Math.fround(bound * 2 ** -24);
}
