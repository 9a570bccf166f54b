/** The count of work against the operations of compiled steps of one linear layer. */
import { describe, expect, it } from 'vitest';
import { savesWork } from '../src/methods/tucker-cost.js';
import { entryNamed, entryFlops } from '../src/program.js';
import { linearProgram, RANK, type Layer } from './tucker-linear.js';

const LAYERS: readonly Layer[] = [
  { shape: [16, 40, 64], outputs: 96, form: 'low-rank' },
  { shape: [16, 40, 64], outputs: 96 },
  { shape: [6, 8, 8, 48], outputs: 64 },
];

const SHARES = [0.1, 0.25, 0.5, 0.75, 0.9];

describe.each(LAYERS)('a layer %o', (layer) => {
  it.each(['whole', 'sequential'] as const)('saves work when its step does: %s', (refresh) => {
    const { shape, outputs, form } = layer;
    const linear = { shape, outputs, rank: form ? RANK : null };
    const flopsOf = (ranks: readonly number[] | null) => {
      const program = linearProgram(layer, ranks, refresh);
      return entryFlops(program, entryNamed(program, 'step'));
    };
    const plain = flopsOf(null);
    const seen = new Set<boolean>();
    for (const share of SHARES) {
      for (const isWhole of [false, true]) {
        const ranks = shape.map((extent, axis) =>
          isWhole && axis === 0 ? extent : Math.ceil(extent * share),
        );
        const ratio = flopsOf(ranks) / plain;
        // Near one the small ops decide, which the count leaves out.
        if (Math.abs(ratio - 1) < 0.1) continue;
        expect(savesWork(linear, ranks, refresh), ranks.join(',')).toBe(ratio < 1);
        seen.add(ratio < 1);
      }
    }
    // A pair of rank 2 costs next to nothing as it is.
    expect(seen.size).toBe(form ? 1 : 2);
  });
});
