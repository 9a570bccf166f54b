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
const EPSILONS = ['0.4', '0.6', '0.7', '0.8', '0.9', '0.95'];

const FULL: ScaleRow = {
  name: 'full',
  config: { method: 'full', saved: 'exact', microBatches: 1 },
};

/** Without the subspace: what recomputation of the blocks alone saves, and what it costs. */
const FULL_RECOMPUTED: ScaleRow = {
  name: 'full, smallest',
  config: { method: 'full', saved: 'smallest', microBatches: 1 },
};
const FULL_IN_MICRO_BATCHES: ScaleRow = {
  name: 'full, smallest, 8 micro-batches',
  config: { method: 'full', saved: 'smallest', microBatches: 8 },
};

/** For time against ε: nothing but norms and GELU is computed twice. */
const SWEEP: readonly ScaleRow[] = EPSILONS.map((epsilon) => ({
  name: `wasi ${epsilon}, compact`,
  config: { method: plain(epsilon), saved: 'compact', microBatches: 1 },
}));

export const SCALE_CASES: readonly ScaleCase[] = [
  {
    batch: 16,
    rows: [FULL, FULL_RECOMPUTED, ...SWEEP, smallest('0.8', 1)],
  },
  {
    batch: 128,
    rows: [
      FULL,
      FULL_RECOMPUTED,
      FULL_IN_MICRO_BATCHES,
      ...SWEEP,
      smallest('0.8', 1),
      smallest('0.8', 8),
      smallest('0.6', 8),
      smallest('0.4', 32),
    ],
  },
];

function plain(epsilon: string): string {
  return `wasi=${epsilon},truncation=plain`;
}

/** With the method's own form of saved tensors, in so many micro-batches. */
function smallest(epsilon: string, microBatches: number): ScaleRow {
  const parts = microBatches === 1 ? '' : `, ${String(microBatches)} micro-batches`;
  return {
    name: `wasi ${epsilon}${parts}`,
    config: { method: plain(epsilon), saved: 'smallest', microBatches },
  };
}
