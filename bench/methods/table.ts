/** The Markdown of the comparison of methods. */
import { median } from '@thimble/core';
import { markdownTable, megabytes, number } from '../harness/table.js';
import { ROWS } from './rows.js';
import { accuracyOf, dataSets, runsOf, setOf, type Run, type Store } from './store.js';

/** Tables, one for each data set, and what the columns mean. */
export function methodsText(store: Store): string {
  const picture = '![accuracy against memory](methods.svg)\n';
  return [picture, ...dataSets(store).map((data) => section(store, data)), notes(store)].join('\n');
}

function section(store: Store, set: string): string {
  const isFirst = set === dataSets(store)[0];
  const head = [
    'method',
    '>accuracy',
    '>seeds',
    '>planned',
    '>process peak',
    '>of `full`',
    ...(isFirst ? ['>ms/step'] : []),
  ];
  const full = runsOf(store, 'full', set)[0]?.outcome.plannedBytes ?? NaN;
  const rows = ROWS.flatMap((row) => {
    const runs = runsOf(store, row.name, set);
    const accuracy = accuracyOf(runs);
    if (!accuracy) return [];
    const { plannedBytes } = runs[0].outcome;
    return [
      [
        row.name,
        accuracyText(accuracy),
        String(accuracy.count),
        megabytes(plannedBytes),
        megabytes(peakOf(store, row.name, runs, isFirst)),
        `${((100 * plannedBytes) / full).toFixed(0)} %`,
        ...(isFirst ? [timeOf(store, row.name)] : []),
      ],
    ];
  });
  const epochs = store.runs.find((run) => setOf(run) === set)?.epochs ?? NaN;
  return [`## ${set}: ${store.init ?? ''}, ${epochs} epochs\n`, markdownTable(head, rows)].join(
    '\n',
  );
}

/** The short runs measured on a quiet machine know best, where there are any. */
function peakOf(store: Store, row: string, runs: readonly Run[], isTimed: boolean): number {
  const timed = store.timing.filter((one) => isTimed && one.row === row);
  const outcomes = timed.length > 0 ? timed : runs;
  return Math.max(...outcomes.map(({ outcome }) => outcome.rssPeakBytes));
}

function accuracyText({
  mean,
  spread,
  count,
}: {
  readonly mean: number;
  readonly spread: number;
  readonly count: number;
}): string {
  const text = `${(100 * mean).toFixed(1)} %`;
  return count === 1 ? text : `${text} ± ${(100 * spread).toFixed(1)}`;
}

function timeOf(store: Store, row: string): string {
  const times = store.timing.filter((one) => one.row === row).map((one) => one.outcome.msPerStep);
  return times.length === 0 ? '' : number(median(times));
}

function notes(store: Store): string {
  const machine = store.timingMachine;
  return [
    'Accuracy on the test photos after the last epoch, mean over the seeds ± half of the range.',
    'Planned bytes are the program’s (weights, optimiser, saved tensors, everything transient, two',
    'threads’ scratch); the process’s peak includes Node, the decoder, loading and preparing.',
    machine === undefined
      ? 'Time was not measured.'
      : `Time: medians of short interleaved runs, loading of photos included (${machine.date}).`,
    '',
  ].join('\n');
}
