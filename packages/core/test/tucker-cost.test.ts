/** The count of work against the operations of compiled steps of one linear layer. */
import { describe, expect, it } from 'vitest';
import { linears } from '../src/methods/linears.js';
import { cheaperRanks, narrowedLinears, savesWork } from '../src/methods/tucker-cost.js';
import { entryNamed, entryFlops } from '../src/program.js';
import { modelOf, SMALL } from './tiny-vit.js';
import { linearProgram, RANK, type Layer } from './tucker-linear.js';

interface Case extends Layer {
  /** Answers that the ranks below must give. */
  readonly answers: number;
}

const LAYERS: readonly Case[] = [
  // A pair of rank 2 costs next to nothing as it is.
  { shape: [16, 40, 64], outputs: 96, form: 'low-rank', answers: 1 },
  { shape: [16, 40, 64], outputs: 96, form: 'low-rank', rank: 40, answers: 2 },
  { shape: [8, 20, 64], outputs: 512, form: 'low-rank', rank: 40, answers: 2 },
  { shape: [16, 40, 64], outputs: 96, answers: 2 },
  { shape: [6, 8, 8, 48], outputs: 64, answers: 2 },
];

const SHARES = [0.1, 0.25, 0.5, 0.75, 0.9];

describe.each(LAYERS)('a layer %o', (layer) => {
  it.each(['whole', 'sequential'] as const)('saves work when its step does: %s', (refresh) => {
    const { shape, outputs, form, rank = RANK, answers } = layer;
    const linear = { shape, outputs, rank: form ? rank : null };
    const flopsOf = (ranks: readonly number[] | null) => {
      const program = linearProgram(layer, ranks, refresh, { summed: true });
      return entryFlops(program, entryNamed(program, 'step'));
    };
    const plain = flopsOf(null);
    const seen = new Set<boolean>();
    for (const share of SHARES) {
      for (const first of [share, 1, 0.2]) {
        const ranks = shape.map((extent, axis) => Math.ceil(extent * (axis === 0 ? first : share)));
        const ratio = flopsOf(ranks) / plain;
        // Near one the small ops decide, which the count leaves out.
        if (Math.abs(ratio - 1) < 0.1) continue;
        expect(savesWork(linear, ranks, refresh), ranks.join(',')).toBe(ratio < 1);
        seen.add(ratio < 1);
      }
    }
    expect(seen.size).toBe(answers);
  });
});

describe('linears that run on the class token alone', () => {
  it('are those of the last block behind its attention', () => {
    expect([...narrowedLinears(modelOf(SMALL)(2))].sort()).toEqual([
      'blocks.2.attn.proj.weight',
      'blocks.2.mlp.fc1.weight',
      'blocks.2.mlp.fc2.weight',
    ]);
  });

  it('keep their inputs as they are, however few ranks these have', () => {
    const model = modelOf(SMALL)(16);
    const ranks = Object.fromEntries(
      linears(model, 'all').map(({ weight, x }) => [weight, x.type.shape.map(() => 1)]),
    );
    const kept = Object.keys(cheaperRanks(model, ranks, 'sequential'));
    expect(kept).toContain('blocks.2.attn.qkv.weight');
    expect(kept).toHaveLength(3 * 4 - 3);
  });
});
