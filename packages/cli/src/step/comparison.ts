/**
 * What a run's choices save: its plan beside that of `full` with the same batch whole, and
 * the ranks in a few words.
 */
import {
  compile,
  megabytes,
  memoryReport,
  parseMethod,
  PLAIN_METHOD,
  type MemoryReport,
  type PrepareTables,
  type SavedForm,
} from '@thimble/core';
import { counted, metric, percent } from '../terminal/format.js';
import { ratio } from './paper.js';
import type { CompiledStep } from './step.js';
import { tableText } from '../terminal/table.js';

/** Bytes of a plan and operations of an update. */
export interface PlanNumbers {
  readonly weightBytes: number;
  readonly optimizerBytes: number;
  /** Saved tensors with the factors of compressed ones. */
  readonly savedBytes: number;
  readonly peakBytes: number;
  readonly flopsPerStep: number;
}

export interface Comparison {
  readonly full: PlanNumbers;
  readonly run: PlanNumbers;
  /** Forms of saved tensors. */
  readonly fullSaved: SavedForm;
  readonly runSaved: SavedForm;
}

/** Plans `full` with its own form of saved tensors; null where the run is that. */
export function compareWithFull(step: CompiledStep, threads: number): Comparison | null {
  const { compileOptions, pass, microBatches, slices, program, method, saved: runSaved } = step;
  const fullSaved = 'exact';
  const isWhole = microBatches === 1 && slices === 1;
  if (method.name === PLAIN_METHOD && isWhole && runSaved === fullSaved) return null;
  const batch = pass * microBatches;
  const full = parseMethod(PLAIN_METHOD);
  const plain = compile({
    ...{ ...compileOptions, method: full, saved: fullSaved },
    ...{ batch, microBatches: 1, slices: 1, evalBatch: 0 },
  });
  return {
    ...{ fullSaved, runSaved },
    full: numbers(memoryReport(plain, threads)),
    run: numbers(memoryReport(program, threads)),
  };
}

function numbers(report: MemoryReport): PlanNumbers {
  const { weightBytes, optimizerBytes, savedBytes, factorBytes, peakBytes, flopsPerStep } = report;
  const saved = savedBytes + factorBytes;
  return { weightBytes, optimizerBytes, savedBytes: saved, peakBytes, flopsPerStep };
}

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
