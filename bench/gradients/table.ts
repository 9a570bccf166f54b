/** The Markdown of the comparison. */
import { median } from '@thimble/core';
import { best, runsOf, textOf, type Run } from '../harness/search.js';
import { markdownTable, megabytes, number, percent } from '../harness/table.js';
import type { Planned } from './planned.js';
import { ROWS, type Row } from './rows.js';
import type { Store } from './store.js';

const FULL = 'full, adamw';
const OWN = 'low-rank-gradient, adamw';

export function resultsText(store: Store, planned: readonly Planned[]): string {
  return [
    INTRODUCTION,
    claims(planned),
    ...memorySections(planned),
    ...dataOf(store).map((data, at) => accuracySection(store, data, at === 0)),
    ...(store.runs.length === 0 ? [] : [searchSection(store)]),
    notes(store),
  ].join('\n');
}

const INTRODUCTION = `\
\`low-rank-gradient\` is a reconstruction of a method of which only abstract and introduction could be
had (arXiv 2001.08885); [docs/low-rank-gradient.md](../../docs/low-rank-gradient.md) says what is
theirs and what is ours. Its numbers below are those of the reconstruction.
`;

/** What the publication says, and what is true here. */
function claims(planned: readonly Planned[]): string {
  const share = (batch: number, saved: string) => {
    const bytes = (name: string) =>
      planned.find((one) => one.name === name && one.batch === batch && one.saved === saved)?.report
        .peakBytes ?? NaN;
    return `${percent(1 - bytes(OWN) / bytes(FULL))} (batch ${batch}, saved ${saved})`;
  };
  const here = [share(16, 'exact'), share(16, 'smallest'), share(1, 'smallest')].join('; ');
  const rows = [
    ['33.0 % less training memory with Adam', `of all planned bytes: ${here}`],
    [
      '4.5 % relative WER reduction over momentum at its memory',
      'speech, not tried; accuracy on photos below',
    ],
  ];
  const table = markdownTable(['the publication', 'here'], rows);
  return `## The publication’s claims\n\n${table}`;
}

function memorySections(planned: readonly Planned[]): readonly string[] {
  const settings = [...new Set(planned.map(settingOf))];
  return settings.map((setting) => {
    const own = planned.filter((one) => settingOf(one) === setting);
    const full = own.find(({ name }) => name === FULL)?.report.peakBytes ?? NaN;
    const rows = own.map(({ name, report }) => [
      name,
      megabytes(report.peakBytes),
      percent(report.peakBytes / full),
      megabytes(report.weightBytes),
      megabytes(report.optimizerBytes),
      megabytes(report.savedBytes),
      megabytes(report.transientBytes),
      (report.flopsPerStep / 1e9).toFixed(2),
    ]);
    const head = ['method', '>planned', '>of full', '>weights', '>states', '>saved', '>rest'];
    return `## Planned: ${setting}\n\n${markdownTable([...head, '>GFLOP'], rows)}`;
  });
}

function settingOf({ batch, saved }: Planned): string {
  return `ViT-Ti/16, 128 px, batch ${batch}, saved ${saved}`;
}

function dataOf({ runs }: Store): readonly string[] {
  const tests = runs.filter(({ purpose }) => purpose === 'test');
  return [...new Set(tests.map(({ data }) => data))];
}

function accuracySection(store: Store, data: string, isTimed: boolean): string {
  const head = ['method', 'setting', '>accuracy', '>seeds', '>planned', '>process peak'];
  const rows = ROWS.flatMap(({ name }) => {
    const runs = runsOf(store.runs, 'test', name).filter((run) => run.data === data);
    if (runs.length === 0) return [];
    const { choice, outcome } = runs[0];
    const measured = isTimed ? runsOf(store.runs, 'time', name) : [];
    const peaks = [...runs, ...measured].map((run) => run.outcome.rssPeakBytes);
    return [
      [
        name,
        textOf(choice),
        accuracyText(runs),
        String(runs.length),
        megabytes(outcome.plannedBytes),
        megabytes(Math.max(...peaks)),
        ...(isTimed ? [msText(measured)] : []),
      ],
    ];
  });
  const epochs = store.runs.find((run) => run.purpose === 'test')?.epochs ?? NaN;
  const table = markdownTable([...head, ...(isTimed ? ['>ms/step'] : [])], rows);
  return `## ${data}: ${store.init}, ${epochs} epochs\n\n${table}`;
}

function accuracyText(runs: readonly Run[]): string {
  const percents = runs.map(({ outcome }) => 100 * outcome.accuracy);
  const mean = percents.reduce((sum, value) => sum + value, 0) / percents.length;
  const spread = (Math.max(...percents) - Math.min(...percents)) / 2;
  return runs.length === 1 ? `${mean.toFixed(1)} %` : `${mean.toFixed(1)} % ± ${spread.toFixed(1)}`;
}

function msText(runs: readonly Run[]): string {
  return runs.length === 0 ? '' : number(median(runs.map(({ outcome }) => outcome.msPerStep)));
}

function searchSection(store: Store): string {
  const rows = ROWS.flatMap((row) => row.choices.map((choice) => searchedRow(store, row, choice)));
  const epochs = store.runs.find((run) => run.purpose === 'search')?.epochs ?? NaN;
  return `## The search, epochs: ${epochs}\n\n${markdownTable(['method', 'setting', '>accuracy', ''], rows)}`;
}

function searchedRow(store: Store, row: Row, choice: Row['choices'][number]): readonly string[] {
  const run = runsOf(store.runs, 'search', row.name).find(
    (one) => one.choice.method === choice.method && one.choice.rate === choice.rate,
  );
  const chosen = best(store.runs, row);
  const isChosen = chosen?.method === choice.method && chosen.rate === choice.rate;
  return [row.name, textOf(choice), run ? accuracyText([run]) : '', isChosen ? 'chosen' : ''];
}

function notes({ timingMachine: machine }: Store): string {
  return [
    'Accuracy on the test photos after the last epoch, mean over the seeds ± half of the range. Each',
    'row’s setting is the one with the best accuracy of a search with one seed on a fifth of the first',
    'set’s training photos; the other sets take it over. Planned bytes are the program’s with two threads; states are those of the',
    'optimiser with what the factors and their moments take. The process’s peak includes Node and the',
    'decoder.',
    machine === undefined
      ? 'Time was not measured.'
      : `Time: medians of short interleaved runs, loading of photos included (${machine.date}).`,
    '',
  ].join('\n');
}
