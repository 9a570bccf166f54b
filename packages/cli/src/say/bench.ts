/** What `thimble bench` found, as tables. */
import { megabytes, type ProfileRow } from '@thimble/core';
import { metric, milliseconds, percent, significant } from '../terminal/format.js';
import { tableText } from '../terminal/table.js';
import type { Profile, StepTimes } from '../bench/measure.js';

/** What was run. */
export interface Bench {
  readonly images: number;
  readonly isInference: boolean;
  readonly flops: number;
  readonly plannedBytes: number;
  readonly times: StepTimes;
}

export function benchText({ images, isInference, flops, plannedBytes, times }: Bench): string {
  const { ms, rssPeakBytes, peakFlops, shareOfPeak } = times;
  const rate = `${metric(perSecond(flops, ms.median))}FLOP/s`;
  const peak =
    peakFlops === null || shareOfPeak === null
      ? ''
      : `, ${percent(shareOfPeak)} of the measured peak of ${metric(peakFlops)}FLOP/s`;
  return tableText(
    [isInference ? 'Forward pass' : 'Training step', ''],
    [
      ['Time', `${milliseconds(ms.median)} (${milliseconds(ms.low)} – ${milliseconds(ms.high)})`],
      ['Images', `${significant(perSecond(images, ms.median))} per second`],
      ['Arithmetic', `${metric(flops)}FLOP, ${rate}${peak}`],
      ['Memory, planned', megabytes(plannedBytes)],
      ['Memory, measured', `${megabytes(rssPeakBytes)} for the whole process at most`],
    ],
  );
}

export function profileText({ rows, peakFlops, peakCopy }: Profile): string {
  const peaks = [['measured peak', '', '', '', giga(peakFlops), '', giga(peakCopy), '']];
  const total = rows.byOp.reduce((sum, { ms }) => sum + ms, 0);
  return [rows.byOp, rows.byShape]
    .map((list) =>
      tableText(
        ['Op', '>Calls', '>ms', '>Share', '>GFLOP/s', '>of peak', '>GB/s', '>of copy'],
        [
          ...list.map((row) => profileCells(row, total, peakFlops, peakCopy)),
          ['all', '', significant(total), '', '', '', '', ''],
          ...(peakFlops === null ? [] : peaks),
        ],
      ),
    )
    .join('\n\n');
}

function profileCells(
  { name, calls, ms, flops, bytes }: ProfileRow,
  total: number,
  peakFlops: number | null,
  peakCopy: number | null,
): readonly (string | number)[] {
  const share = (work: number, peak: number | null) =>
    peak === null ? '' : percent(perSecond(work, ms) / peak);
  return [
    name,
    calls,
    significant(ms),
    percent(ms / total),
    giga(perSecond(flops, ms)),
    share(flops, peakFlops),
    giga(perSecond(bytes, ms)),
    share(bytes, peakCopy),
  ];
}

/** Per second, from the milliseconds that `work` takes. */
function perSecond(work: number, ms: number): number {
  return (1000 * work) / ms;
}

function giga(value: number | null): string {
  return value === null ? '' : significant(value / 1e9);
}
