/** The Markdown of the comparison of methods. */
import { median } from '@thimble/core';
import { best, runsOf, textOf, type Run } from '../harness/search.js';
import { markdownTable, megabytes, number } from '../harness/table.js';
import { isSearched, ROWS, type Row } from './rows.js';
import { SETS, type PhotoSet } from './sets.js';
import { accuracyOf, chosenFor, memoryOf, testsOf, type Store } from './store.js';

/** Tables, one for each set, the searches, and what the columns mean. */
export function methodsText(store: Store): string {
  const picture = '![accuracy against memory](methods.svg)\n';
  const sets = SETS.filter(({ name }) => name in store.photos);
  return [
    picture,
    ...sets.map((set) => section(store, set)),
    ...sets.map((set) => searchSection(store, set)),
    notes(store),
  ].join('\n');
}

function section(store: Store, set: PhotoSet): string {
  const { name, imageSize, epochs } = set;
  const head = [
    'method',
    '>rate',
    'searched on',
    '>accuracy',
    '>± seeds',
    '>± test set',
    '>seeds',
    '>planned',
    '>process peak',
    '>of `full`',
    '>ms/step',
  ];
  const full = memoryOf(store, ROWS[0], name)?.plannedBytes ?? NaN;
  const rows = ROWS.flatMap((row) => {
    const cells = cellsOf(store, row, set, full);
    return cells ? [cells] : [];
  });
  const { train, test } = store.photos[name];
  const title = `## ${name}: ${String(train)} photos, ${String(test)} for testing, ${String(imageSize)} px, ${String(epochs)} epochs\n`;
  return [title, markdownTable(head, rows)].join('\n');
}

function cellsOf(
  store: Store,
  row: Row,
  { name }: PhotoSet,
  full: number,
): readonly string[] | null {
  const runs = testsOf(store, row, name);
  const accuracy = accuracyOf(runs, store.photos[name].test);
  const chosen = chosenFor(store.runs, row, name);
  const memory = memoryOf(store, row, name);
  if (!accuracy || !chosen || !memory) return null;
  const { mean, error, testError, seeds } = accuracy;
  const { plannedBytes, peakBytes } = memory;
  const timed = runsOf(store.runs, 'time', row.name, name);
  return [
    row.name,
    chosen.choice.rate,
    chosen.from ?? 'published',
    percents(mean),
    error === null ? '–' : percents(error),
    percents(testError),
    String(seeds),
    megabytes(plannedBytes),
    megabytes(peakBytes),
    Number.isNaN(full) ? '–' : `${((100 * plannedBytes) / full).toFixed(0)} %`,
    timed.length === 0 ? '' : number(median(timed.map(({ outcome }) => outcome.msPerStep))),
  ];
}

function searchSection(store: Store, { name }: PhotoSet): string {
  const rows = ROWS.filter(isSearched).flatMap((row) =>
    row.choices.flatMap((choice) => {
      const run = runsOf(store.runs, 'search', row.name, name).find((one) => isFor(one, choice));
      const chosen = best(store.runs, row, name);
      const isChosen = chosen?.rate === choice.rate;
      if (!run) return [];
      const { accuracy, loss } = run.outcome;
      const mark = isChosen ? 'chosen' : '';
      return [[row.name, textOf(choice), percents(accuracy), (loss ?? NaN).toFixed(3), mark]];
    }),
  );
  const head = ['method', 'setting', '>accuracy', '>loss', ''];
  return rows.length === 0 ? '' : `## ${name}: the search\n\n${markdownTable(head, rows)}`;
}

function isFor({ choice }: Run, { rate }: Run['choice']): boolean {
  return choice.rate === rate;
}

function percents(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function notes({ timingMachine: machine, init, batch }: Store): string {
  return [
    `Weights: ${init}; batch ${String(batch)}. Accuracy on the test photos after the last epoch, mean over`,
    'the seeds, with its standard error (standard deviation over √seeds) and beside it that of counting on',
    'so many test photos, √(p(1 − p)/n), which all methods share. Each row trains at the rate of the best',
    'accuracy in a search with one seed on a fifth held out of the training photos, of equal ones at that',
    'of the least loss; where a set has no search of its own, at that of the set named beside it; rows',
    'that vary another take its rate. `wasi as published` has the paper’s own settings: SGD at 0.05',
    'without momentum, weight decay 1e-4, clipping at 2, MLPs alone, plain truncation; not its batch of',
    '128 and 50 epochs. Planned bytes are the program’s (weights, optimiser, saved tensors, everything',
    'transient, the scratch of two threads where time was measured and of one elsewhere); the process’s peak',
    'includes Node, decoder, loading and preparing.',
    machine === undefined
      ? 'Time was not measured.'
      : `Time: medians of short interleaved runs, loading of photos included (${machine.date}).`,
    '',
  ].join('\n');
}
