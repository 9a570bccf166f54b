/** The table of the export benchmark. */
import { describe, expect, it } from 'vitest';
import { OWN, type ExportResult } from '../export/result.js';
import { exportTable } from '../export/table.js';

const times = (one: number, eight: number, ratio: number) =>
  [one, eight].map((median) => ({
    ms: { median, low: median, high: median, min: median, max: median, count: 9 },
    ratio: { median: ratio, low: ratio, high: ratio, min: ratio, max: ratio, count: 9 },
  }));

const RESULT: ExportResult = {
  ...{ run: 'run 1', model: 'vit-tiny-16', method: 'wasi=0.8' },
  ...{ photos: 200, threads: 1, rounds: 9, maxLogit: 12.34 },
  rows: [
    {
      ...{ name: OWN, bytes: null, ofFloat32: null, maxDifference: 0 },
      ...{ agreement: 1, accuracy: 0.955, times: times(17, 140, 1) },
    },
    {
      ...{ name: 'onnx-int8', bytes: 4_826_577, ofFloat32: 0.2184, maxDifference: 0.354 },
      ...{ agreement: 0.995, accuracy: 0.95, times: times(15.9, 120, 0.934) },
    },
  ],
};

describe('exportTable', () => {
  it('shows each file beside our executor', () => {
    const lines = exportTable(RESULT).split('\n');
    const rows = lines.map((line) => line.replaceAll(/ +/g, ' '));
    expect(rows.slice(0, 7)).toEqual([
      '## vit-tiny-16, wasi=0.8',
      '',
      '| file | size | of fp32 | max \\|Δlogit\\| | same class | accuracy | ms, 1 image | × time | ms, 8 images | × time |',
      expect.stringContaining('---'),
      '| thimble native | | | | | 95.5 % | 17.0 | 1.00 | 140 | 1.00 |',
      '| onnx-int8 | 4.8 MB | 22 % | 3.5e-1 | 99.5 % | 95.0 % | 15.9 | 0.934 | 120 | 0.934 |',
      '',
    ]);
    expect(lines.join(' ')).toContain(
      "Logits of 200 photos, each by itself, beside our executor's, whose largest is 12.3.",
    );
    expect(lines.join(' ')).toContain('1 thread;');
  });
});
