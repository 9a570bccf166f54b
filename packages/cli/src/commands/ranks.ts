/** thimble ranks: the ranks of a factored run and what they were chosen from. */
import { elements, megabytes, type ActivationTable, type WeightTable } from '@thimble/core';
import type { Command } from 'commander';
import { percent } from '../terminal/format.js';
import { Output } from '../terminal/output.js';
import { readRanks, type RanksFile } from '../run/ranks-file.js';
import { addJson, type CommonOptions } from '../options/shared.js';
import { tableText } from '../terminal/table.js';

const HELP = `
Weights: W [outputs, inputs] is L R with an inner extent of K; "By ε" is the K at which W itself keeps
the share ε of its energy, "Lost" the energy that the outputs lose. A weight without a K stays dense.
Inputs: a linear's input is saved for the backward pass as a core of these sizes and a factor for each
axis; "Error" is the share of the weight's gradient that it loses. --json has all options that were
tried.

Examples:
  thimble ranks runs/photos-1
  thimble ranks runs/photos-1 --json
`;

export function addRanks(program: Command): void {
  const command = program
    .command('ranks')
    .summary('show the ranks of a factored run')
    .description('Shows the ranks of a run with a factored method, and what they were chosen from.')
    .argument('<RUN>', 'run folder of thimble train');
  addJson(command)
    .addHelpText('after', HELP)
    .action((run: string, options: CommonOptions) => {
      const output = new Output(options.json);
      const file = readRanks(run);
      output.event('ranks', { ...file });
      for (const line of ranksLines(file)) output.line(line);
    });
}

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
