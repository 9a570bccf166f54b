/** What a run's choices save, beside `full`, and the ranks in a few words. */
import { megabytes, type PrepareTables } from '@thimble/core';
import type { Comparison, PlanNumbers } from '../step/comparison.js';
import { counted, metric, percent } from '../terminal/format.js';
import { tableText } from '../terminal/table.js';
import { ratio } from './paper.js';

const ROWS: readonly (readonly [keyof PlanNumbers, string])[] = [
  ['weightBytes', 'Weights'],
  ['optimizerBytes', 'Optimiser state'],
  ['savedBytes', 'Saved for the backward pass'],
  ['peakBytes', 'Peak, planned'],
  ['flopsPerStep', 'FLOP per update'],
];

/** A table with the ratio beside each pair. */
export function comparisonLines({ full, run, fullSaved, runSaved }: Comparison): readonly string[] {
  const rows = ROWS.map(([key, title]) => {
    const text = key === 'flopsPerStep' ? metric : megabytes;
    return [title, text(full[key]), text(run[key]), ratio(full[key], run[key])];
  });
  const head = ['', `>full, ${fullSaved}`, `>this run, ${runSaved}`, '>Ratio'];
  return [tableText(head, rows), ''];
}

/** What `prepare` chose, in one line for weights and one for activations. */
export function choiceLines({ weights, activations }: PrepareTables): readonly string[] {
  const lines: string[] = [];
  if (weights) {
    const { layers, bytes, denseBytes, epsilon, truncation, images } = weights;
    const ranks = layers.flatMap(({ rank }) => (rank === null ? [] : [rank]));
    const on = truncation === 'data' ? `, on ${counted(images, 'image')}` : '';
    const lost = Math.max(0, ...layers.map((layer) => layer.lost));
    lines.push(
      `Weights    ${String(ranks.length)} of ${String(layers.length)} factored, rank ` +
        `${range(ranks)} (ε ${String(epsilon)}, truncation ${truncation}${on}): ` +
        `${megabytes(denseBytes)} → ${megabytes(bytes)}, at most ${percent(lost)} of a layer lost`,
    );
  }
  if (activations) {
    const { layers, bytes, fullBytes, epsilon } = activations;
    const compressed = layers.filter(({ options, chosen }) => options[chosen].ranks !== null);
    const error = Math.hypot(...layers.map(({ options, chosen }) => options[chosen].perplexity));
    const norm = Math.hypot(...layers.map(({ gradientNorm }) => gradientNorm));
    lines.push(
      `Inputs     ${String(compressed.length)} of ${String(layers.length)} compressed ` +
        `(ε ${String(epsilon)}): ${megabytes(fullBytes)} → ${megabytes(bytes)}, ` +
        `${percent(norm > 0 ? error / norm : 0)} off in the weights' gradient`,
    );
  }
  return lines;
}

function range(values: readonly number[]): string {
  if (values.length === 0) return '–';
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? String(least) : `${String(least)}–${String(most)}`;
}
