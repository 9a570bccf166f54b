/** The Markdown of the kernel benchmark. */
import { markdownTable, number, percent } from '../harness/table.js';
import { median } from '../harness/statistics.js';
import type { KernelCell, KernelResult } from './measure.js';

/** Arithmetic and memory in a table each. */
export function kernelTables(results: readonly KernelResult[], rounds: number): string {
  const parts = (['GFLOP/s', 'GB/s'] as const).flatMap((unit) => {
    const rows = results.filter((result) => result.unit === unit);
    return rows.length > 0 ? [kernelTable(unit, rows)] : [];
  });
  return [...parts, notes(rounds)].join('\n');
}

function kernelTable(unit: KernelResult['unit'], results: readonly KernelResult[]): string {
  const [{ cells }] = results;
  const title = ({ contestant, threads }: KernelCell) =>
    `>${contestant}${threads > 1 ? `, ${threads} threads` : ''}`;
  const limit = unit === 'GB/s' ? 'copy peak (of as many bytes, median of all rows)' : 'FMA peak';
  return [
    `## ${unit === 'GB/s' ? 'Memory' : 'Arithmetic'}, ${unit}\n`,
    markdownTable(
      ['kernel', ...cells.map(title)],
      [
        ...results.map((result) => [result.name, ...result.cells.map(cellText)]),
        [limit, ...cells.map((_, column) => number(peakOf(results, column)))],
      ],
    ),
  ].join('\n');
}

/** `147 (82 %)`, or with several threads `280 (80 %, ×1.90)`. */
function cellText({ rate, shareOfPeak, speedup }: KernelCell): string {
  const factor = speedup ? `, ×${speedup.median.toFixed(2)}` : '';
  return `${number(rate.median)} (${percent(shareOfPeak.median)}${factor})`;
}

function peakOf(results: readonly KernelResult[], column: number): number {
  return median(results.flatMap(({ cells }) => cells[column].peakSamples.flat()));
}

function notes(rounds: number): string {
  return [
    `Medians of ${rounds} interleaved rounds; every kernel was checked against the float64`,
    'reference before it was timed. In brackets: share of the peak with as many threads, × one',
    'thread, both the median of the ratios within each round. The peaks are loops of',
    'independent multiply-adds and of copies over as many bytes as the kernel moves, with the',
    'instructions of each variant, measured in turn with the kernels. A multiply-add counts two',
    'operations; base (SSE2) and WebAssembly without relaxed SIMD need two instructions for it.',
    'GB/s counts every operand once. Programs apply the op many times per call; waiting at the',
    'barrier after each is included.\n',
  ].join('\n');
}
