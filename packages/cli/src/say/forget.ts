/** What `thimble forget` says: lines for people, or the fields of the last JSON line. */
import type { ForgettingScores, Share } from '@thimble/core';
import { counted, duration, metric, percent, significant } from '../terminal/format.js';
import type { Output } from '../terminal/output.js';
import { tableText } from '../terminal/table.js';
import type { Trial } from '../forget/forgetting.js';
import type { ForgetResult } from '../library/forget.js';

export function sayForgotten(result: ForgetResult, output: Output): void {
  output.event('done', doneFields(result));
  for (const line of forgottenLines(result)) output.line(line);
}

function doneFields(result: ForgetResult): Readonly<Record<string, unknown>> {
  const { run, record, shares, before, after, trials, warnings, skipped, undoBytes } = result;
  const { seconds, plannedBytes } = result;
  return {
    ...record,
    ...{ before, after, groups: shares, trials, warnings, seconds, plannedBytes },
    ...{ skipped: skipped.length, undoBytes, run },
  };
}

function forgottenLines(result: ForgetResult): readonly string[] {
  const { record, run, undoBytes, isFactored } = result;
  const { shares, before, after, trials, warnings, seconds } = result;
  const what = record.class === null ? 'the listed images' : `class ${record.class}`;
  const by = record.importance === 'sample' ? 'single images' : `batches of ${String(record.pass)}`;
  const form = record.labelFree ? 'of the logits’ norm' : 'of the loss';
  const against = record.base === 'retained' ? 'retained images' : 'all images';
  const origin = { given: 'given', automatic: 'automatic', swept: 'found by the sweep' };
  return [
    `Forgetting ${what}: ${counted(record.images, 'image')} of training, ${record.weights} weights`,
    `Importance ${form}, over ${by}, against ${against}` +
      (isFactored ? '; of factored weights, of their factors' : ''),
    ...(trials.length > 0 ? ['', trialTable(trials), ''] : []),
    `α          ${significant(record.alpha)}, ${origin[record.threshold]}; λ ${significant(record.lambda)}`,
    '',
    shareTable(shares),
    '',
    scoreTable(before, after),
    '',
    ...warnings.map((warning) => `Warning    ${warning}`),
    undoBytes === null
      ? 'Nothing was written'
      : `Wrote ${run} in ${duration(seconds)}; --undo brings the earlier weights back`,
  ];
}

function shareTable(shares: readonly Share[]): string {
  const row = (name: string, { elements: all, selected }: Omit<Share, 'group'>) => {
    return [name, metric(all), metric(selected), percent(selected / all)];
  };
  const sum = (of: (share: Share) => number) => shares.reduce((all, each) => all + of(each), 0);
  const all = { elements: sum(({ elements: n }) => n), selected: sum(({ selected }) => selected) };
  return tableText(
    ['Layers', '>Weights', '>Dampened', '>Share'],
    [...shares.map((share) => row(share.group, share)), row('all', all)],
  );
}

function scoreTable(before: ForgettingScores, after: ForgettingScores): string {
  const row = (name: string, key: keyof ForgettingScores) => {
    return [name, share(before[key]), share(after[key])];
  };
  return tableText(
    ['Accuracy', '>Before', '>After'],
    [
      row('Retained', 'retainedAccuracy'),
      row('Forgotten', 'forgottenAccuracy'),
      row('Attacked', 'attackedAccuracy'),
    ],
  );
}

function trialTable(trials: readonly Trial[]): string {
  const rows = [...trials]
    .sort((a, b) => b.alpha - a.alpha)
    .map(({ alpha, share: selected, scores, isWithin }) => [
      significant(alpha),
      percent(selected),
      share(scores.retainedAccuracy),
      share(scores.forgottenAccuracy),
      isWithin ? 'yes' : 'no',
    ]);
  return tableText(['>α', '>Dampened', '>Retained', '>Forgotten', 'Within'], rows);
}

function share(value: number | null): string {
  return percent(value ?? NaN);
}
