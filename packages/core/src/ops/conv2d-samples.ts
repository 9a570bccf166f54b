/** Convolutions on which every executor is checked in all three directions. */
import { f32 } from '../ir/types.js';
import { padded, VALID, type Conv2dParams } from './conv2d-sizes.js';

export interface Conv2dSample {
  readonly title: string;
  readonly params: Conv2dParams;
  /** [B, H, W, C] */
  readonly x: readonly number[];
  /** [KH, KW, C / G, O] */
  readonly w: readonly number[];
  readonly bias?: boolean;
  /** Long sums of both signs would lose digits. */
  readonly positive?: boolean;
}

/** A tensor of a sample. */
export function sampleOf(shape: readonly number[], { positive = false }: Conv2dSample) {
  return { type: f32(...shape), ...(positive && { low: 0 }) };
}

/** TensorFlow's 'SAME' for a kernel of 3 and a stride of 2 on even sides. */
const SAME = { ...VALID, stride: 2, padBottom: 1, padRight: 1 };

export const conv2dSamples: readonly Conv2dSample[] = [
  { title: 'one pixel', params: VALID, x: [1, 1, 1, 1], w: [1, 1, 1, 1] },
  { title: 'without padding', params: VALID, x: [2, 5, 6, 3], w: [3, 3, 3, 4], bias: true },
  { title: '3 × 3', params: padded(1), x: [2, 6, 5, 8], w: [3, 3, 8, 40] },
  { title: 'stride 2', params: padded(1, { stride: 2 }), x: [1, 9, 8, 5], w: [3, 3, 5, 17] },
  { title: 'stride 2, SAME', params: SAME, x: [1, 8, 10, 4], w: [3, 3, 4, 6], bias: true },
  { title: 'stem', params: padded(3, { stride: 2 }), x: [1, 17, 18, 3], w: [7, 7, 3, 33] },
  {
    title: 'projection with stride',
    ...{ params: { ...VALID, stride: 2 }, x: [2, 7, 6, 9], w: [1, 1, 9, 5] },
  },
  {
    title: 'dilated',
    ...{ params: padded(2, { dilation: 2 }), x: [1, 7, 9, 4], w: [3, 3, 4, 7], bias: true },
  },
  {
    title: 'groups',
    ...{ params: padded(1, { groups: 3, stride: 2 }), x: [2, 5, 7, 12], w: [3, 3, 4, 18] },
  },
  {
    title: 'one channel a group',
    ...{ params: padded(2, { groups: 6, dilation: 2 }), x: [1, 6, 5, 6], w: [3, 3, 1, 12] },
  },
  {
    title: 'depthwise',
    ...{ params: padded(1, { groups: 33 }), x: [2, 6, 5, 33], w: [3, 3, 1, 33], bias: true },
  },
  {
    title: 'depthwise, 5 × 5, stride 2',
    ...{ params: padded(2, { groups: 20, stride: 2 }), x: [1, 9, 8, 20], w: [5, 5, 1, 20] },
  },
  {
    title: 'depthwise, dilated, SAME',
    params: { ...SAME, groups: 7, dilation: 2 },
    ...{ x: [1, 10, 9, 7], w: [3, 3, 1, 7], bias: true },
  },
  {
    title: 'depthwise, 1 × 11',
    ...{ params: padded(5, { groups: 3 }), x: [1, 2, 4, 3], w: [1, 11, 1, 3] },
  },
  {
    title: 'stride above the kernel',
    ...{ params: padded(1, { stride: 3 }), x: [1, 8, 9, 2], w: [2, 2, 2, 3], bias: true },
  },
  { title: 'tall kernel', params: padded(4), x: [1, 3, 6, 2], w: [5, 1, 2, 3] },
  {
    title: 'many channels',
    ...{ params: padded(1), x: [1, 2, 3, 330], w: [3, 3, 330, 44], positive: true },
  },
  {
    title: 'many outputs',
    ...{ params: padded(1), x: [1, 3, 2, 44], w: [3, 3, 44, 330], positive: true },
  },
  {
    title: 'many pixels',
    ...{ params: padded(1), x: [2, 21, 19, 3], w: [3, 3, 3, 5], positive: true },
  },
];
