/** The closing words of a command: what was skipped, and the result. */
import { megabytes } from '@thimble/core';
import type { UnreadImage } from '../library/predict.js';
import type { NothingToDo } from '../library/resume.js';
import { counted, duration, milliseconds, percent } from '../terminal/format.js';
import type { Output } from '../terminal/output.js';
import { inOneLine, shellWord } from '../terminal/terminal.js';
import type { RunOutcome, RunSummary } from '../training/training.js';

/** Says which images could not be read: each of them for programs, the first ones for people. */
export function saySkipped(skipped: readonly UnreadImage[], output: Output): void {
  for (const { name, reason } of skipped) output.event('skipped', { name, reason });
  for (const line of skippedLines(skipped)) output.line(line);
}

/** Images that are named one by one; of more, reasons and how many images have them. */
const SHOWN = 20;
const SHOWN_REASONS = 10;

/** What could not be read and why, for people; nothing for none. */
export function skippedLines(skipped: readonly UnreadImage[]): readonly string[] {
  if (skipped.length === 0) return [];
  const named = skipped
    .slice(0, SHOWN)
    .map(({ name, reason }) => inOneLine(`  ${name}: ${reason}`));
  const what = `${counted(skipped.length, 'image')} could not be read`;
  if (skipped.length <= SHOWN) return [`${what}:`, ...named];
  return [
    `${what}, the first ${String(SHOWN)} of them:`,
    ...named,
    'By reason:',
    ...tally(skipped),
  ];
}

/** Bytes in hexadecimal, and numbers. */
const NUMBERS = /\b[\da-f]{2}( [\da-f]{2})+\b|\d[\d.]*/g;

/** How many images have each reason, numbers in it aside, the most frequent first. */
function tally(skipped: readonly UnreadImage[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { reason } of skipped) {
    const kind = reason.replace(NUMBERS, '…');
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const lines = sorted
    .slice(0, SHOWN_REASONS)
    .map(([kind, count]) => `  ${String(count).padStart(6)}  ${kind}`);
  const others = sorted.slice(SHOWN_REASONS).reduce((sum, [, count]) => sum + count, 0);
  return others === 0 ? lines : [...lines, `  ${String(others).padStart(6)}  other reasons`];
}

/** How a run ended that can be resumed. */
export function sayEnd({ status, summary, skipped }: RunOutcome, output: Output): void {
  saySkipped(skipped, output);
  if (status === 'interrupted') sayInterrupted(summary, true, output);
  else if (status === 'outOfTime') sayOutOfTime(summary, output);
  else sayDone(summary, output);
}

/** A run that was to go on and has nothing left to do. */
export function sayNothingToDo({ run, steps, epochs, wanted }: NothingToDo, output: Output): void {
  output.event('done', { run, steps, epochs });
  output.line(`All ${counted(wanted, 'epoch')} are done; --epochs N trains longer`);
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

/** What an interrupted run leaves. @param isResumable whether `thimble resume` can go on from it */
export function sayInterrupted(summary: RunSummary, isResumable: boolean, output: Output): void {
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
  if (isResumable) output.line(`To go on: thimble resume ${shellWord(run)}`);
}

/** What a run leaves whose time is used up. */
function sayOutOfTime(summary: RunSummary, output: Output): void {
  const { steps, run } = summary;
  output.event('out-of-time', { ...summary });
  output.line();
  output.line(
    `The time is used up after ${counted(steps, 'update')}; the run is saved in ${inOneLine(run)}.`,
  );
  for (const line of costs(summary)) output.line(line);
  output.line(`To go on: thimble resume ${shellWord(run)}, with --time for so much more`);
}

/** Share of the time from which waiting for images is worth a word. */
const WAITED = 0.05;

function costs(summary: RunSummary): readonly string[] {
  const { msPerStep, seconds, waitSeconds, plannedBytes, rssPeakBytes } = summary;
  const waited = waitSeconds / seconds;
  return [
    `${milliseconds(msPerStep ?? NaN)} per step, ${duration(seconds)} in all; memory: ` +
      `${megabytes(plannedBytes)} planned, ${megabytes(rssPeakBytes)} process at most`,
    ...(waited < WAITED ? [] : [`Of the time, ${percent(waited)} went by waiting for images`]),
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
