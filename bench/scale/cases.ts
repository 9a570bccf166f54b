/** What the scale benchmark compares on ViT-B/32, 224 px. */
import type { ScaleConfig } from './protocol.js';

export interface ScaleRow {
  readonly name: string;
  readonly config: Pick<ScaleConfig, 'method' | 'saved' | 'microBatches'>;
}

export interface ScaleCase {
  readonly batch: number;
  readonly rows: readonly ScaleRow[];
}

/** ε of the weights in the sweep; ranks by the paper's rule, so that ε says what is compared. */
const EPSILONS = ['0.4', '0.6', '0.7', '0.8', '0.9'];

const plain = (epsilon: string, more = '') => `wasi=${epsilon},truncation=plain${more}`;

export const SCALE_CASES: readonly ScaleCase[] = [
  {
    batch: 16,
    rows: [
      { name: 'full', config: { method: 'full', saved: 'exact', microBatches: 1 } },
      ...EPSILONS.map((epsilon) => ({
        name: `wasi ${epsilon}`,
        config: { method: plain(epsilon), saved: 'compact' as const, microBatches: 1 },
      })),
    ],
  },
  {
    batch: 128,
    rows: [
      { name: 'full', config: { method: 'full', saved: 'exact', microBatches: 1 } },
      ...EPSILONS.map((epsilon) => ({
        name: `wasi ${epsilon}`,
        config: { method: plain(epsilon), saved: 'compact' as const, microBatches: 1 },
      })),
      {
        name: 'wasi 0.8, 8 passes',
        config: { method: plain('0.8'), saved: 'compact', microBatches: 8 },
      },
      {
        name: 'wasi 0.6, smallest, 32 passes',
        config: { method: plain('0.6'), saved: 'smallest', microBatches: 32 },
      },
    ],
  },
];
