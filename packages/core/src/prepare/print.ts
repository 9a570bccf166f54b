/** The tables of prepare as text, one line for each layer. */
import { megabytes } from '../plan/report.js';
import type { ActivationTable, PrepareTables, WeightTable } from './types.js';

/**
 * Both tables, or those there are.
 *
 *   weights at ε = 0.8, truncated by data from 128 images: 14.75 MB (budget 14.75 MB, least 0.02 MB, dense 21.2 MB)
 *     blocks.0.attn.qkv.weight  576×192  rank 120 (76)  0.37 MB  lost 0.0 %
 */
export function printTables({ weights, activations }: PrepareTables): string {
  return [
    ...(weights ? weightLines(weights) : []),
    ...(activations ? activationLines(activations) : []),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

/** Ranks in brackets are those of the plain rule. */
function weightLines(table: WeightTable): readonly string[] {
  const { epsilon, truncation, images, layers } = table;
  const from = images > 0 ? ` from ${String(images)} images` : '';
  const title =
    `weights at ε = ${String(epsilon)}, truncated by ${truncation === 'data' ? 'data' : 'singular values'}${from}: ` +
    `${megabytes(table.bytes)} (budget ${megabytes(table.budgetBytes)}, ` +
    `least ${megabytes(table.minimumBytes)}, dense ${megabytes(table.denseBytes)})`;
  const rankText = (rank: number | null) => (rank === null ? 'dense' : String(rank));
  const rows = layers.map(({ weight, outputs, inputs, rank, plainRank, bytes, lost }) => [
    weight,
    `${String(outputs)}×${String(inputs)}`,
    `rank ${rankText(rank)} (${rankText(plainRank)})`,
    megabytes(bytes),
    `lost ${percent(lost)}`,
  ]);
  return [title, ...aligned(rows)];
}

function activationLines(table: ActivationTable): readonly string[] {
  const title =
    `inputs at ε = ${String(table.epsilon)}: ${megabytes(table.bytes)} ` +
    `(budget ${megabytes(table.budgetBytes)}, least ${megabytes(table.minimumBytes)}, ` +
    `as they are ${megabytes(table.fullBytes)})`;
  const rows = table.layers.map(({ weight, shape, gradientNorm, options, chosen }) => {
    const { ranks, bytes, perplexity } = options[chosen];
    return [
      weight,
      shape.join('×'),
      ranks === null ? 'as it is' : `ranks ${ranks.join(',')}`,
      megabytes(bytes),
      `gradient off by ${percent(gradientNorm > 0 ? perplexity / gradientNorm : 0)}`,
    ];
  });
  return [title, ...aligned(rows)];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`.trimEnd(),
  );
}
