/** The closing words of a command: what was skipped, and the result. */
import { megabytes } from '@thimble/core';
import type { SkippedImage } from './data/loader.js';
import { counted, duration, milliseconds, percent } from './format.js';
import type { Output } from './output.js';
import { inOneLine, shellWord } from './terminal.js';
import type { RunSummary } from './training.js';

/** An image that could not be read. */
export type UnreadImage = Pick<SkippedImage, 'name' | 'reason'>;

/** Names every image that could not be read. */
export function saySkipped(skipped: readonly UnreadImage[], output: Output): void {
  for (const { name, reason } of skipped) output.event('skipped', { name, reason });
  for (const line of skippedLines(skipped)) output.line(line);
}

/** How many there are, then a line for each; nothing for none. */
export function skippedLines(skipped: readonly UnreadImage[]): readonly string[] {
  if (skipped.length === 0) return [];
  const lines = skipped.map(({ name, reason }) => `  ${inOneLine(name)}: ${inOneLine(reason)}`);
  return [`${counted(skipped.length, 'image')} could not be read:`, ...lines];
}

/** The result of training. */
export function sayDone(summary: RunSummary, output: Output): void {
  output.event('done', { ...summary });
  const { accuracy, loss, epochs, bestAccuracy, bestEpoch, run } = summary;
  const best =
    bestAccuracy === null || bestEpoch === epochs
      ? ''
      : ` (best: ${percent(bestAccuracy)} after epoch ${String(bestEpoch)})`;
  output.line();
  output.line(
    `Validation accuracy ${percent(accuracy ?? NaN)}, loss ${(loss ?? NaN).toFixed(4)}${best}`,
  );
  for (const line of costs(summary)) output.line(line);
  output.line(`Saved in ${inOneLine(run)}; try: thimble predict ${shellWord(run)} IMAGE`);
}

/**
 * What an interrupted run leaves.
 *
 * @param data folder with which it can go on; null where it cannot
 */
export function sayInterrupted(summary: RunSummary, data: string | null, output: Output): void {
  const { steps, run } = summary;
  const isSaved = steps > 0;
  output.event('interrupted', { ...summary, run: isSaved ? run : null });
  output.line();
  if (!isSaved) {
    output.line('Interrupted before the first step; nothing was saved.');
    return;
  }
  output.line(
    `Interrupted after ${counted(steps, 'step')}; the weights are saved in ${inOneLine(run)}.`,
  );
  for (const line of costs(summary)) output.line(line);
  if (data === null) return;
  output.line(`To go on from them: thimble train ${shellWord(data)} --init ${shellWord(run)}`);
}

function costs(summary: RunSummary): readonly string[] {
  const { msPerStep, seconds, plannedBytes, rssPeakBytes } = summary;
  return [
    `${milliseconds(msPerStep ?? NaN)} per step, ${duration(seconds)} in all; memory: ` +
      `${megabytes(plannedBytes)} planned, ${megabytes(rssPeakBytes)} process at most`,
    ...overBudget(summary),
  ];
}

function overBudget({ rssPeakBytes, budgetBytes }: RunSummary): readonly string[] {
  if (budgetBytes === null || rssPeakBytes <= budgetBytes) return [];
  return [
    `The process took ${megabytes(rssPeakBytes - budgetBytes)} more than --memory ` +
      `${megabytes(budgetBytes)}: what it needs beside the plan was estimated too low`,
  ];
}
