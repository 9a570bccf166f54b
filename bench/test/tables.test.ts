/** The tables of docs/benchmarks.md are those that the results make. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { spread } from '../harness/statistics.js';
import { processBlock } from '../tables/process.js';
import { scaleAims } from '../tables/scale-aims.js';
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
  const exactlySlow = { pytorch: exactly(1.2), bf16: exactly(1), recomputed: exactly(1) };
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

  it('is held against its aims, with the reason of each that is missed', () => {
    const part = (peakBytes: number) => ({ name: 'the end', bytes: 1, fileBytes: 1, peakBytes });
    const process = {
      machine: MACHINE,
      loaded: [{ ...part(80e6), bytes: 77e6 }],
      courses: { 'ViT-Ti/16, 224 px, `wasi`': { parts: [part(226e6)], plannedBytes: 90e6 } },
    };
    const own = (rows: readonly ScaleResultRow[], ready: ScaleResultRow['ready'], peak: number) =>
      rows.map((one) =>
        one.name === 'wasi, smallest' ? { ...one, ready, rssPeakBytes: peak } : one,
      );
    const ready = { plannedBytes: 400e6, flopsPerStep: 4e9, parameters: 40e6 };
    const rows = [
      ...own(result.rows, ready, 500e6),
      row('wasi, smallest, 8-bit momentum', 350, 1.5),
    ];
    const fast = row('wasi 0.6', 200, 2.6);
    const slow = result.rows.map((one) => ({ ...one, faster: exactlySlow }));
    const measured = [
      { ...result, rows },
      { ...result, batch: 16, rows: [...slow, fast] },
    ];
    const aims = scaleAims({ results: measured }, process);
    expect(aims).toMatch(
      /\| batch 128: times as fast as PyTorch, fp32 +\| +≥ 3.00 × \| +3.00 × \| met/u,
    );
    expect(aims).toMatch(/\| batch 16: .* +≥ 2.50 × \| +1.20 × \| missed/u);
    expect(aims).toMatch(/time of that of .* ≤ 40 % \| +17 % \| met/u);
    expect(aims).toMatch(/memory of that of .* ≤ 100 % \| +125 % \| missed/u);
    expect(aims).toMatch(/batch 128: peak memory .* 340.0 MB \| 500.0 MB \| missed/u);
    expect(aims).toMatch(/ViT-Ti.* 120.0 MB \| 226.0 MB \| missed/u);
    // 7 GFLOP in 667 ms; 2.5 / 1.2 times that.
    expect(aims).toContain(
      'a step is 7 GFLOP, recomputation included, and runs at 11 GFLOP/s; the aim takes 22',
    );
    expect(aims).toContain('What reaches it: `wasi 0.6` 5.20 ×.');
    expect(aims).toContain('160.0 MB and their momentum as much, 320.0 MB together');
    expect(aims).toContain('is transient 80.0 MB; Node, the library and images 100.0 MB.');
    expect(aims).toContain('the process has 350.0 MB.');
    expect(aims).toContain('take 77.0 MB before anything is read, the plan 90.0 MB');
    expect(aims).not.toContain('Time beside');
    expect(scaleAims({ results: [] }, null)).toBe('');
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

describe('the tables of images and of the process', () => {
  const at = (bytes: number) => ({ bytes, fileBytes: 0, peakBytes: bytes });

  it('say how busy threads are, and in how many rows the aim is met', () => {
    const epochs = (waitSeconds: number) => [
      { seconds: 10, waitSeconds: 9 },
      { seconds: 10, waitSeconds },
      { seconds: 10, waitSeconds },
    ];
    const row = (model: string, reading: string, waited: number) => ({
      ...{ model, photos: '227 px', reading, epochs: epochs(waited), msPerStep: 1 },
    });
    const rows = [
      row('full', 'without a cache', 2),
      row('full', 'with a cache', 0.4),
      row('head', 'with a cache', 1),
    ];
    const block = processBlock({ machine: MACHINE, rows }, null, null);
    expect(block).toMatch(/\| full +\| 227 px \| +80 % \| +96 % \|/);
    expect(block).toMatch(/\| head +\| 227 px \| +– \| +90 % \|/);
    expect(block).toContain('The aim, 95 % with the cache, is met in 1 of 2 rows.');
    expect(block).not.toContain('beyond the plan');
  });

  it('say what images and a process take', () => {
    const curve = {
      images: 50_000,
      seconds: 9,
      firstBytes: 125e6,
      lastBytes: 124e6,
      peakBytes: 167e6,
    };
    const parts = [
      { name: 'Node', ...at(44e6) },
      { name: 'the library', ...at(60e6) },
    ];
    const course = { plannedBytes: 71e6, parts: [{ name: 'training', ...at(160e6) }] };
    const block = processBlock(
      null,
      { machine: MACHINE, curves: [curve] },
      { machine: MACHINE, loaded: parts, courses: { wasi: course } },
    );
    expect(block).toMatch(/\| 50,000 \| +125.0 MB \| +124.0 MB \| +167.0 MB \|/);
    expect(block).toContain('Node 44.0 MB, the library 16.0 MB');
    expect(block).toMatch(/\| wasi +\| 71.0 MB \| +160.0 MB \| 160.0 MB \|/);
  });
});
