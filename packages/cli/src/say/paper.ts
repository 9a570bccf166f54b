/** What `thimble plan --paper` says: two tables and what to keep in mind. */
import type { Breakdown, PaperCosts, PaperReport } from '@thimble/core';
import type { PaperFields } from '../step/paper.js';
import { metric } from '../terminal/format.js';
import { tableText } from '../terminal/table.js';

const PARTS: readonly (readonly [keyof Breakdown, string, string])[] = [
  ['weights', 'Weights of these linears', 'yes'],
  ['inputs', 'Their inputs, saved', 'yes'],
  ['otherWeights', 'Other weights', ''],
  ['norm', 'Saved for layer norm', ''],
  ['gelu', 'Saved for GELU', ''],
  ['attention', 'Saved for attention', ''],
  ['otherSaved', 'Saved for the rest', ''],
  ['optimizer', 'Optimiser state', ''],
  ['transient', 'Transient and scratch', ''],
];

const NOTES: readonly string[] = [
  'The paper counts a multiply-add of the factors’ weight gradient once and every other one twice,',
  'and leaves out: forming the cores, the first decomposition, attention, layer norm, GELU, the',
  'update and the memory of these. An input shared by q, k and v counts three times.',
  'It keeps every input of a linear; the plan keeps those that --saved says (all: every one).',
  'It counts all tokens; the plan computes the last block behind its attention only for the tokens that',
  'the classifier reads, unless the inputs there are compressed.',
];

/** Two tables and what to keep in mind. */
export function paperLines(fields: PaperFields): readonly string[] {
  const { counted, planned, linears: layers, pass } = fields;
  const which = layers === 'mlp' ? 'of the MLPs' : 'of MLPs and attention';
  return [
    `As the WASI paper counts: ${String(counted.layers)} linears ${which}, ` +
      `micro-batches of ${String(pass)}; MB of 2²⁰ bytes`,
    '',
    tableText(['Counted', '>Dense', '>This run', '>Ratio'], countedRows(counted)),
    '',
    ...NOTES,
    '',
    tableText(
      ['Planned', '>full', '>This run', '>Ratio', 'Counted'],
      [
        ...PARTS.map(([part, title, yes]) => [
          title,
          ...memoryCells(planned.full[part], planned.run[part]),
          yes,
        ]),
        ['Peak', ...memoryCells(planned.full.peak, planned.run.peak), ''],
        ['FLOP', ...workCells(planned.full.flops, planned.run.flops), ''],
      ],
    ),
    ...(planned.run.startFlops > 0
      ? ['', `Once, on the first batch: ${metric(planned.run.startFlops)}FLOP for the factors`]
      : []),
  ];
}

function countedRows({ dense, factored }: PaperReport): readonly (readonly string[])[] {
  const memory = (title: string, of: (costs: PaperCosts) => number) => [
    title,
    ...memoryCells(4 * of(dense), 4 * of(factored)),
  ];
  const work = (title: string, of: (costs: PaperCosts) => number) => [
    title,
    ...workCells(of(dense), of(factored)),
  ];
  return [
    memory('Weights', (costs) => costs.weightElements),
    memory('Inputs, saved', (costs) => costs.inputElements),
    memory('Training memory (C)', (costs) => costs.weightElements + costs.inputElements),
    memory('Inference memory (C)', (costs) => costs.weightElements),
    work('Forward FLOP', (costs) => costs.forwardFlops),
    work('Backward FLOP', (costs) => costs.backwardFlops),
    work('Training FLOP (S)', (costs) => costs.forwardFlops + costs.backwardFlops),
    work('Inference FLOP (S)', (costs) => costs.inferenceFlops),
  ];
}

function memoryCells(full: number, run: number): readonly string[] {
  return [mebibytes(full), mebibytes(run), ratio(full, run)];
}

function workCells(full: number, run: number): readonly string[] {
  return [metric(full), metric(run), ratio(full, run)];
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(2);
}

/** `13.1 ×`; nothing where there is nothing to compare. */
export function ratio(full: number, run: number): string {
  return full > 0 && run > 0 ? `${(full / run).toFixed(2)} ×` : '–';
}
