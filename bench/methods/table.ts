/** The Markdown of the comparison of methods. */
import { median } from '@thimble/core';
import { markdownTable, megabytes, number } from '../harness/table.js';
import { ROWS } from './rows.js';
import { accuracyOf, dataSets, runsOf, type Run, type Store } from './store.js';

/** Tables, one for each data set, and what the columns mean. */
export function methodsText(store: Store): string {
  const picture = '![accuracy against memory](methods.svg)\n';
  return [picture, ...dataSets(store).map((data) => section(store, data)), notes(store)].join('\n');
}

function section(store: Store, data: string): string {
  const all = store.runs.filter((run) => run.data === data);
  const [first] = all;
  const size = first.imageSize === null ? "the model's own image size" : `${first.imageSize} px`;
  const head = [
    'method',
    '>accuracy',
    '>seeds',
    '>planned',
    '>process peak',
    '>of `full`',
    ...(data === dataSets(store)[0] ? ['>ms/step'] : []),
  ];
  const full = runsOf(store, 'full', data)[0]?.outcome.plannedBytes ?? NaN;
  const rows = ROWS.flatMap((row) => {
    const runs = runsOf(store, row.name, data);
    const accuracy = accuracyOf(runs);
    if (!accuracy) return [];
    const { plannedBytes } = runs[0].outcome;
    return [
      [
        row.name,
        accuracyText(accuracy),
        String(accuracy.count),
        megabytes(plannedBytes),
        megabytes(peakOf(store, row.name, runs)),
        `${((100 * plannedBytes) / full).toFixed(0)} %`,
        timeOf(store, row.name),
      ],
    ];
  });
  const { epochs } = first;
  return [
    `## ${data}: ${store.init ?? ''}, ${epochs} epochs, ${size}\n`,
    markdownTable(head, rows),
  ].join('\n');
}

/** The short runs measured on a quiet machine know best, where there are any. */
function peakOf(store: Store, row: string, runs: readonly Run[]): number {
  const timed = store.timing.filter((one) => one.row === row);
  const outcomes = timed.length > 0 && runs[0].imageSize === null ? timed : runs;
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
