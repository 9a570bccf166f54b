/** The table of the startup benchmark. */
import { expect, it } from 'vitest';
import { spread } from '../harness/statistics.js';
import { startupTable } from '../startup/table.js';

it('shows clock and computed time beside the goal, where there is one', () => {
  const ms = spread([400, 300, 500]);
  const text = startupTable(
    [
      { name: 'compile', goalMs: 500, ms, cpuMs: spread([250]) },
      { name: 'train', goalMs: null, ms, cpuMs: null },
    ],
    3,
  );
  const rows = text.split('\n').map((line) => line.replaceAll(/ +/g, ' '));
  expect(rows).toContain('| compile | 400 | 350 – 450 | 250 | 500 |');
  expect(rows).toContain('| train | 400 | 350 – 450 | | |');
  expect(text).toContain('Medians of 3 interleaved rounds');
});
