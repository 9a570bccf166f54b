/** Windows on which every executor is checked in both directions. */
import { pooled, type PoolParams } from './pool-sizes.js';

/** TensorFlow's 'SAME' for a window of 3 and a stride of 2 on even sides. */
const SAME: PoolParams = { ...pooled(3, 2, 0), padBottom: 1, padRight: 1 };

export interface PoolSample {
  readonly title: string;
  readonly params: PoolParams;
  /** [B, H, W, C] */
  readonly x: readonly number[];
  /** Of means. */
  readonly countPadding: boolean;
}

export const poolSamples: readonly PoolSample[] = [
  { title: 'one pixel', params: pooled(1, 1, 0), x: [1, 1, 1, 1], countPadding: false },
  { title: 'halves', params: pooled(2, 2, 0), x: [2, 7, 6, 5], countPadding: true },
  { title: '3 × 3 with stride 2', params: pooled(3, 2, 1), x: [2, 9, 8, 19], countPadding: true },
  { title: 'SAME', params: SAME, x: [1, 8, 6, 35], countPadding: false },
  { title: 'overlapping', params: pooled(3, 1, 1), x: [1, 5, 4, 70], countPadding: false },
  { title: 'the whole image', params: pooled(5, 5, 2), x: [1, 3, 2, 3], countPadding: false },
  { title: 'gaps', params: pooled(2, 3, 1), x: [1, 8, 7, 4], countPadding: true },
];
