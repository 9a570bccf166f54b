/** The table of methods in docs/benchmarks.md: accuracy on every set at the best rate, and memory. */
import { markdownTable } from '../harness/table.js';
import { ROWS } from '../methods/rows.js';
import { SETS } from '../methods/sets.js';
import { accuracyOf, chosenFor, memoryOf, testsOf, type Store } from '../methods/store.js';

/** Rows as they are called there, and what the page calls them. */
const SHOWN: readonly (readonly [name: string, title: string])[] = [
  ['full', '`full`'],
  ['full, smallest', '`full --saved smallest`'],
  ['wasi 0.9', '`wasi=0.9`'],
  ['wasi 0.8', '`wasi` (ε = 0.8)'],
  ['wsi 0.8, smallest', '`wsi --saved smallest`'],
  ['wasi as published', '`wasi` as published'],
  ['lora, smallest', '`lora --saved smallest`'],
  ['last-k=4, smallest', '`last-k=4 --saved smallest`'],
  ['head', '`head`'],
];

export function accuracyBlock(store: Store): string {
  const sets = SETS.filter(({ name }) => name in store.photos);
  const head = [
    'method',
    ...sets.map(({ name }) => `>${name}`),
    '>planned memory',
    '>of `full`',
    '>process peak',
  ];
  const rows = SHOWN.flatMap(([name, title]) => cells(store, name, title));
  const rates = SHOWN.flatMap(([name, title]) => {
    const found = sets.map((set) => rateOf(store, name, set.name));
    return found.some((rate) => rate !== '–') ? [`${title} ${found.join(', ')}`] : [];
  });
  const counts = sets.map(({ name }) => `${name} ${share(errorOf(store, name))}`);
  return [
    markdownTable(head, rows),
    'Mean over the seeds ± its standard error; without ± one seed. The standard error of counting on so many',
    `test photos, which all methods share: ${counts.join(', ')}. Peak rates, set by set:`,
    `${rates.join('; ')}.`,
    '',
  ].join('\n');
}

function cells(store: Store, name: string, title: string): readonly (readonly string[])[] {
  const row = ROWS.find((each) => each.name === name);
  if (!row) return [];
  const sets = SETS.filter((set) => set.name in store.photos);
  const accuracies = sets.map((set) => {
    const found = accuracyOf(testsOf(store, row, set.name), store.photos[set.name].test);
    if (!found) return '';
    const { mean, error } = found;
    return error === null ? `${share(mean)} %` : `${share(mean)} % ± ${share(error)}`;
  });
  if (accuracies.every((text) => text === '')) return [];
  const [{ name: first }] = SETS;
  const taken = memoryOf(store, row, first);
  const full = memoryOf(store, ROWS[0], first);
  const memory =
    taken === null || full === null
      ? ['', '', '']
      : [
          whole(taken.plannedBytes),
          `${((100 * taken.plannedBytes) / full.plannedBytes).toFixed(0)} %`,
          whole(taken.peakBytes),
        ];
  return [[title, ...accuracies, ...memory]];
}

function rateOf(store: Store, name: string, set: string): string {
  const row = ROWS.find((each) => each.name === name);
  if (!row || testsOf(store, row, set).length === 0) return '–';
  return chosenFor(store.runs, row, set)?.choice.rate ?? '–';
}

/** Of `full`, or of what there is. */
function errorOf(store: Store, set: string): number {
  const errors = ROWS.flatMap((row) => {
    const found = accuracyOf(testsOf(store, row, set), store.photos[set].test);
    return found ? [found.testError] : [];
  });
  return errors.at(0) ?? NaN;
}

function share(value: number): string {
  return (100 * value).toFixed(1);
}

function whole(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
