/** The tables of docs/benchmarks.md are those that the results make. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { spread } from '../harness/statistics.js';
import { scaleBlock, withScaleParagraph } from '../tables/scale.js';
import type { ScaleResult, ScaleResultRow } from '../scale/measure.js';
import { scaleDocument } from '../scale/table.js';
import { MACHINE } from './machine.js';
import { withBlock } from '../tables/block.js';
import { pages } from '../tables/files.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('a page with tables', () => {
  it.each(pages(root))('$path has those of bench/results (npm run bench:tables)', (page) => {
    const text = readFileSync(page.path, 'utf8');
    expect(text).toBe(page.rewritten(text));
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
      isPeer: name.startsWith('PyTorch'),
      ready: { plannedBytes: 5e6, flopsPerStep: 7e9 },
    },
    ...{ losses: [2, 1], rssPeakBytes: 1e6 * megabytes, ms: exactly(1000 / faster) },
    faster: {
      pytorch: exactly(2 * faster),
      bf16: exactly(faster),
      recomputed: exactly(4 * faster),
    },
  });
  const result: ScaleResult = {
    ...{ machine: MACHINE, batch: 128, threads: 2, rounds: 3, photos: 'flowers/train' },
    preparing: { seconds: 40, rssPeakBytes: 250e6 },
    rows: [
      row('PyTorch', 2000, 0.5),
      row('PyTorch, checkpointing', 800, 0.4),
      row('full, exact', 1000, 1),
      row('full, smallest', 400, 0.75),
      row('wsi, smallest', 320, 1.2),
      row('wasi, smallest', 300, 1.5),
    ],
    skipped: [{ name: 'PyTorch, bf16', reason: 'the processor has none' }],
  };
  const block = scaleBlock({ results: [{ ...result, batch: 16 }, result] });
  const text = block.replaceAll('\n', ' ');

  it('shows each batch, the larger first, and a dash for what was not measured', () => {
    expect(block.indexOf('Batch 128:')).toBeLessThan(block.indexOf('Batch 16:'));
    expect(block).toMatch(
      /\| `full --saved smallest` +\| +400 MB \| +20 % \| +50 % \| +5 MB \| +7.00 \| +1333 \| +1.50 \| +0.750 \| +3.00 \|/,
    );
    expect(block).toMatch(/\| `wasi=0.6` +\| +– \|/);
  });

  it('says what recomputation saves, what the subspace, and what its parts', () => {
    expect(text).toContain(
      'beside `exact`: smallest 400 MB for 1000 MB (−60 %), 0.750 times as fast.',
    );
    expect(text).toContain(
      '`wasi` beside `full` in the same form: smallest 300 MB for 400 MB (−25 %), 2.00 times as fast.',
    );
    expect(text).toContain(
      '`wsi` beside `full`: smallest 320 MB for 400 MB (−20 %), 1.60 times as fast.',
    );
    expect(text).toContain(
      '`wasi` beside `wsi`: smallest 300 MB for 320 MB (−6 %), 1.25 times as fast.',
    );
  });

  it('says of which PyTorch a share is', () => {
    expect(text).toContain(
      '`wasi, smallest` beside PyTorch: 15 % of its memory as it comes (2000 MB), 38 % of what it takes at ' +
        'its smallest (PyTorch, checkpointing: 800 MB); 3.00 times as fast as in fp32, 1.50 times as fast as in bf16.',
    );
  });

  it('is quoted by README', () => {
    const readme = 'Before.\n\nOn ViT-B/32 at batch 128 so many.\nOf them.\n\nBehind.\n';
    const quoted = withScaleParagraph(readme, { results: [{ ...result, batch: 16 }, result] });
    expect(quoted).toMatch(/^Before.\n\nOn ViT-B\/32, batch 128: PyTorch 800–2000 MB,/u);
    expect(quoted).toContain('`full` 1000, `wasi` 300 ([all]');
    expect(quoted).toMatch(/the tests:\n\nBehind.\n$/u);
    expect(withScaleParagraph(quoted, { results: [] })).toContain('yet to be measured');
    expect(() => withScaleParagraph('# Thimble\n', { results: [] })).toThrow('README.md');
    expect(scaleBlock({ results: [] })).toContain('Not measured');
  });

  it('keeps what could not run', () => {
    const document = scaleDocument([result]);
    expect(document).toContain('Not run: PyTorch, bf16 (the processor has none).');
    expect(document).toContain('Not in all rounds: PyTorch; PyTorch, checkpointing; full, exact;');
  });
});
