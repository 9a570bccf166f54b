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
export function sayDone(summary: RunSummary, interrupted: boolean, output: Output): void {
  output.event(interrupted ? 'interrupted' : 'done', { ...summary });
  for (const line of doneLines(summary, interrupted)) output.line(line);
}

function doneLines(summary: RunSummary, interrupted: boolean): readonly string[] {
  const { accuracy, loss, msPerStep, bestAccuracy, bestEpoch } = summary;
  const best =
    bestAccuracy === null || bestAccuracy === accuracy
      ? ''
      : ` (best: ${percent(bestAccuracy)} after epoch ${String(bestEpoch)})`;
  const head = interrupted
    ? `Interrupted after ${counted(summary.steps, 'step')}; the weights are saved.`
    : `Validation accuracy ${percent(accuracy ?? NaN)}, loss ${(loss ?? NaN).toFixed(4)}${best}`;
  return [
    '',
    head,
    `${milliseconds(msPerStep ?? NaN)} per step, ${duration(summary.seconds)} in all; memory: ` +
      `${megabytes(summary.plannedBytes)} planned, ` +
      `${megabytes(summary.rssPeakBytes)} process at most`,
    ...overBudget(summary),
    `Saved in ${inOneLine(summary.run)}; try: thimble predict ${shellWord(summary.run)} IMAGE`,
  ];
}

function overBudget({ rssPeakBytes, budgetBytes }: RunSummary): readonly string[] {
  if (budgetBytes === null || rssPeakBytes <= budgetBytes) return [];
  return [
    `The process took ${megabytes(rssPeakBytes - budgetBytes)} more than --memory ` +
      `${megabytes(budgetBytes)}: what it needs beside the plan was estimated too low`,
  ];
}
