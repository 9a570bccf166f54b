/** The Markdown of the comparison of forgetting with training anew. */
import type { ForgettingScores } from '@thimble/core';
import { markdownTable, number } from '../harness/table.js';
import type { Case, Store } from './store.js';

/** One table for each data set, and what the columns mean. */
export function forgetText({ cases, init = '' }: Store): string {
  const sets = [...new Set(cases.map(({ data }) => data))];
  return [...sets.map((data) => section(data, cases, init)), NOTES].join('\n');
}

function section(data: string, all: readonly Case[], init: string): string {
  const cases = all.filter((each) => each.data === data);
  const head = [
    'forgotten class',
    'model',
    '>retained',
    '>forgotten',
    '>attacked',
    '>seconds',
    '>dampened',
    '>α',
  ];
  const rows = cases.flatMap(rowsOf);
  const epochs = String(cases[0]?.epochs ?? NaN);
  return [`## ${data}: ${init}, ${epochs} epochs\n`, markdownTable(head, rows)].join('\n');
}

function rowsOf({ forgotten, trainingSeconds, ways, retrained }: Case): readonly string[][] {
  const before = Object.values(ways)[0]?.before;
  const row = (name: string, scores: ForgettingScores, ...more: readonly string[]) => {
    const { retainedAccuracy, forgottenAccuracy, attackedAccuracy } = scores;
    const accuracies = [retainedAccuracy, forgottenAccuracy, attackedAccuracy].map(share);
    return [forgotten, name, ...accuracies, ...more];
  };
  return [
    ...(before ? [row('original', before, number(trainingSeconds))] : []),
    ...Object.entries(ways).map(([name, { after, seconds, share: selected, alpha }]) =>
      row(name, after, number(seconds), share(selected), number(alpha)),
    ),
    ...(retrained ? [row('retrained', retrained.scores, number(retrained.seconds))] : []),
  ];
}

/** 0.9312 → `93.1 %`. */
function share(value: number | null): string {
  return value === null ? '' : `${(100 * value).toFixed(1)} %`;
}

const NOTES = [
  'Retained and forgotten: accuracy on test photos of the classes that stay, and of the one that goes. Attacked:',
  'share of the training photos of that class that membership inference by entropy takes for photos of training;',
  'what the retrained model has is the aim, not zero. The retrained model never saw the class: it starts from the',
  'same weights, trains as long on the other classes, and has no output for this one. Seconds: of training; of',
  'importance, threshold and dampening, photos decoded on the way. Dampened: share of all weights.',
  '',
].join('\n');
