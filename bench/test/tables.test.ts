/** The tables of docs/benchmarks.md are those that the results make. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { spread } from '../harness/statistics.js';
import { scaleBlock } from '../tables/scale.js';
import type { ScaleResultRow } from '../scale/measure.js';
import { MACHINE } from './machine.js';
import { withBlock } from '../tables/block.js';
import { pagePath, withBlocks } from '../tables/files.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('docs/benchmarks.md', () => {
  it('has the tables of bench/results (npm run bench:tables writes them)', () => {
    const page = readFileSync(pagePath(root), 'utf8');
    expect(page).toBe(withBlocks(page, root));
  });

  it('without a place for them is an error', () => {
    expect(() => withBlock('# Thimble\n', 'speed', '')).toThrow('the page: expected the lines');
  });
});

describe('the table of training at scale', () => {
  const exactly = (value: number) => spread([value]);
  const row = (name: string, megabytes: number, faster: number): ScaleResultRow => ({
    ...{
      name,
      ready: {},
      losses: [2, 1],
      rssPeakBytes: 1e6 * megabytes,
      ms: exactly(1000 / faster),
    },
    fasterThanFull: exactly(faster),
    fasterThanPeer: name === 'PyTorch' ? null : exactly(2 * faster),
    inference: name === 'PyTorch' ? null : { ms: exactly(10), faster: exactly(1) },
  });
  const rows = [
    row('PyTorch', 2000, 0.5),
    row('full', 1000, 1),
    row('full, smallest', 400, 0.75),
    row('wasi 0.8', 300, 1.5),
  ];
  const result = { batch: 128, threads: 2, rounds: 3, evalBatch: 16, rows };
  const block = scaleBlock({ machine: MACHINE, results: [{ ...result, batch: 16 }, result] });

  it('shows what was measured, of PyTorch and of full, and a dash for what was not', () => {
    expect(block).toMatch(/\| `full --saved smallest` +\| +400 MB \| +20 % \| +0.750 \| +1.50 \|/);
    expect(block).toMatch(/\| `wasi`, 8 micro-batches +\| +– \|/);
  });

  it('says what recomputation saves and what the subspace', () => {
    expect(block.replaceAll('\n', ' ')).toContain(
      'without micro-batches: `wasi` takes 700 MB less than `full`. Of these 600 MB (86 %) come from recomputing ' +
        'the blocks, which `full --saved smallest` does too, and 100 MB from the subspace: ' +
        '300 MB are 75.0 % of 400 MB. The step is 2.00 times as fast as that of `full --saved smallest`.',
    );
    expect(block).not.toContain('in 8 micro-batches: `wasi` takes');
  });
});
