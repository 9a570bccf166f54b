import { describe, expect, it } from 'vitest';
import { document } from '../harness/results.js';
import { markdownTable, megabytes, number, percent } from '../harness/table.js';
import type { CaseResult } from '../steps/measure.js';
import { aimsTable } from '../tables/aims.js';
import { stepTable } from '../steps/table.js';
import { MACHINE, QUIET } from './machine.js';

describe('markdownTable', () => {
  it('lines up as text and aligns columns that start with >', () => {
    expect(markdownTable(['op', '>ms'], [['matmul', '12.5'], ['a|b'], ['×', '1']])).toBe(
      [
        '| op     |   ms |',
        '| ------ | ---: |',
        '| matmul | 12.5 |',
        '| a\\|b   |      |',
        '| ×      |    1 |',
        '',
      ].join('\n'),
    );
  });
});

describe('numbers', () => {
  it('have about three digits', () => {
    expect([1234.5, 99.96, 12.34, 1.234, 0.1234, 0].map(number)).toEqual([
      '1235',
      '100.0',
      '12.3',
      '1.23',
      '0.123',
      '0.000',
    ]);
    expect(percent(0.8249)).toBe('82 %');
    expect(megabytes(268_300_000)).toBe('268.3 MB');
  });
});

describe('document', () => {
  it('names the machine', () => {
    expect(document('Kernels', MACHINE, 'body\n')).toBe(
      [
        '# Kernels\n',
        'A Processor, 2 cores, 8 GiB; An OS, x64; Node v20.19.0; cc 12; commit abc1234; ' +
          '2026-01-02 03:04 UTC.\n',
        'body\n',
      ].join('\n'),
    );
  });

  it('tells how much of the time a hypervisor took', () => {
    const machine = { ...MACHINE, stolenShare: 0.072 };
    expect(document('Kernels', machine, '')).toContain('2026-01-02 03:04 UTC; CPU steal time 7 %.');
  });

  it('says loudly when the machine was busy', () => {
    const idle = { ...QUIET, busyShare: 0.62, loadAverage: 4.25, quiet: false };
    expect(document('Kernels', { ...MACHINE, idle }, '')).toContain(
      '**NOT IDLE: others used 62 % of the cores (load average 4.3) when this was measured; ' +
        'times are too long, ratios are noisy.**',
    );
  });
});

describe('stepTable', () => {
  const one = { median: 1, low: 1, high: 1, min: 1, max: 1, count: 2 };
  const result: CaseResult = {
    name: 'vit-tiny-16',
    batch: 8,
    threads: 2,
    rounds: 2,
    stepsPerTurn: 1,
    losses: [6.9, 6.5],
    rows: [
      {
        name: 'thimble native',
        ready: {
          version: 'avx512',
          threads: 2,
          parameters: 10,
          plannedBytes: 2e6,
          arenaBytes: 2e6,
          flopsPerStep: 4e9,
        },
        losses: [6.9, 6.5],
        samples: [[20], [20]],
        ms: { ...one, median: 20, low: 19, high: 21 },
        ratio: { ...one, median: 0.5, low: 0.45, high: 0.55 },
        ratioTo: 'PyTorch',
        rssPeakBytes: 80e6,
      },
      {
        name: 'onnxruntime-node',
        ready: { version: '1.0', threads: 2, parameters: 10 },
        losses: [6.9, 6.5],
        samples: [[30], []],
        ms: { ...one, median: 30, low: 30, high: 30 },
        ratio: { ...one, median: 0.75, low: 0.75, high: 0.75 },
        ratioTo: 'PyTorch',
        rssPeakBytes: 90e6,
      },
      { name: 'PyTorch', missing: 'THIMBLE_PEER_PYTHON is not set' },
    ],
    peak: [[250], [500]],
    machine: MACHINE,
  };

  it('holds the native step against the peak of the same round', () => {
    // 4 GFLOP in 20 ms are 200 GFLOP/s: 80 and 40 %.
    expect(stepTable(result)).toContain('thimble native reaches 60 %\nof it (50 % – 70 %');
    expect(stepTable({ ...result, peak: null })).not.toContain('peak of 2 threads');
  });

  it('says of each aim whether it is met', () => {
    const table = aimsTable({ steps: [result], inference: null, startup: [] });
    const rows = table.split('\n').map((line) => line.replaceAll(/ +/g, ' '));
    expect(rows).toContain(
      '| step of vit-tiny-16: thimble native / onnxruntime-node | ≥ 1.25 × | 1.50 × | met |',
    );
    expect(rows).toContain('| step of vit-tiny-16: thimble native / PyTorch | ≥ 2.00 × | – | |');
  });

  it('shows every contestant, also one that is missing', () => {
    const rows = stepTable(result)
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .map((line) => line.replaceAll(/ +/g, ' '));
    expect(rows).toEqual([
      '| contestant | ms/step | quartiles | time / PyTorch | ours × as fast | GFLOP/s | ' +
        'peak memory | planned | arena |',
      expect.stringContaining('---'),
      '| thimble native (avx512) | 20.0 | 19.0 – 21.0 | 0.500 (0.450 – 0.550) | | 200 | ' +
        '80.0 MB | 2.0 MB | 2.0 MB |',
      '| onnxruntime-node (1.0) | 30.0 | 30.0 – 30.0 | 0.750 (0.750 – 0.750) | ' +
        '1.50 (1.50 – 1.50) | 133 | 90.0 MB | | |',
      '| PyTorch | not available: THIMBLE_PEER_PYTHON is not set | | | | | | | |',
    ]);
  });
});
