/** What `thimble ranks` says. */
import { elements, megabytes, type ActivationTable, type WeightTable } from '@thimble/core';
import type { RanksFile } from '../run/ranks-file.js';
import { percent } from '../terminal/format.js';
import { tableText } from '../terminal/table.js';

/** Tables where the ranks were chosen for this run, plain lists where they were not. */
export function ranksLines({ method, pass, ranks, tables }: RanksFile): readonly string[] {
  const head = `${method}, micro-batches of ${String(pass)}`;
  const weights = tables?.weights ? weightLines(tables.weights) : weightList(ranks.weights);
  const inputs = tables?.activations
    ? activationLines(tables.activations)
    : activationList(ranks.activations);
  return [head, ...weights, ...inputs];
}

function weightLines(table: WeightTable): readonly string[] {
  const { epsilon, truncation, bytes, minimumBytes, denseBytes, layers } = table;
  return [
    '',
    `Weights: ${megabytes(bytes)} of ${megabytes(denseBytes)} (ε ${String(epsilon)}, truncation ` +
      `${truncation}; at the smallest ranks ${megabytes(minimumBytes)})`,
    '',
    tableText(
      ['Weight', '>Outputs', '>Inputs', '>K', '>By ε', '>Bytes', '>Lost'],
      layers.map((layer) => [
        layer.weight,
        layer.outputs,
        layer.inputs,
        layer.rank ?? 'dense',
        layer.plainRank ?? 'dense',
        megabytes(layer.bytes),
        percent(layer.lost),
      ]),
    ),
  ];
}

function activationLines(table: ActivationTable): readonly string[] {
  const { epsilon, bytes, minimumBytes, fullBytes, layers } = table;
  return [
    '',
    `Inputs: ${megabytes(bytes)} of ${megabytes(fullBytes)} (ε ${String(epsilon)}; at the smallest ` +
      `ranks ${megabytes(minimumBytes)})`,
    '',
    tableText(
      ['Input of', 'Shape', '>As is', 'Ranks', '>Bytes', '>Error', '>Options'],
      layers.map(({ weight, shape, options, chosen, gradientNorm }) => {
        const { ranks, bytes: own, perplexity } = options[chosen];
        return [
          weight,
          shape.join('×'),
          megabytes(4 * elements(shape)),
          ranks?.join('×') ?? 'as is',
          megabytes(own),
          percent(gradientNorm > 0 ? perplexity / gradientNorm : 0),
          options.length,
        ];
      }),
    ),
  ];
}

function weightList(weights: RanksFile['ranks']['weights']): readonly string[] {
  const rows = Object.entries(weights);
  return rows.length === 0 ? [] : ['', tableText(['Weight', '>K'], rows)];
}

function activationList(activations: RanksFile['ranks']['activations']): readonly string[] {
  const rows = Object.entries(activations).map(([name, modes]) => [name, modes.join('×')]);
  return rows.length === 0 ? [] : ['', tableText(['Input of', 'Ranks'], rows)];
}
