/**
 * thimble plan --paper: what the WASI paper counts of a step beside what the step really needs.
 *
 * Everything is for one micro-batch. Memory is in MB of 2²⁰ bytes, the paper's unit, in both tables.
 */
import {
  breakdown,
  buildModel,
  compile,
  linears,
  paperLayers,
  paperReport,
  foundRanks,
  parseMethod,
  PLAIN_METHOD,
  updateEntries,
  entryFlops,
  type Breakdown,
  type Layers,
  type PaperCosts,
  type PaperReport,
  type Program,
  type Refresh,
} from '@thimble/core';
import { metric } from '../terminal/format.js';
import type { CompiledStep, TrainingStep } from './step.js';
import { tableText } from '../terminal/table.js';

/** The paper's counts and the plans, of plain training and of the run. */
export interface PaperFields {
  readonly pass: number;
  readonly linears: Layers;
  readonly counted: PaperReport;
  readonly planned: { readonly full: PlannedParts; readonly run: PlannedParts };
}

interface PlannedParts extends Breakdown {
  readonly peak: number;
  /** Of one micro-batch, with its update. */
  readonly flops: number;
  /** Of setting the factors from the first batch, once. */
  readonly startFlops: number;
}

/** Counts the set-up run and, for comparison, full training with the same passes. */
export function paperFields(step: CompiledStep, threads: number): PaperFields {
  const { method, config, sliceImages: pass, program } = step;
  const dense = buildModel(config, { batch: pass });
  const model = method.forward(dense);
  const layers = countedLayers(step);
  const refresh: Refresh = method.probe?.activations?.refresh ?? 'whole';
  const full = parseMethod(PLAIN_METHOD);
  const plain = compile({ ...step.compileOptions, method: full, evalBatch: 0 });
  const counted = paperLayers(model, layers, foundRanks(method.findings(model)).activations);
  return {
    pass,
    linears: layers,
    counted: paperReport(counted, refresh),
    planned: {
      full: plannedParts(plain, breakdown(plain, paperLayers(dense, layers, {}), threads)),
      run: plannedParts(program, breakdown(program, counted, threads)),
    },
  };
}

/** The linears that the method acts on; those of the MLPs where it acts on none. */
function countedLayers({ method, model }: TrainingStep): Layers {
  const asked = method.probe?.weights?.layers ?? method.probe?.activations?.layers;
  const factored = linears(model, 'all').filter(({ form }) => form.kind !== 'dense');
  const attention = factored.some(({ weight }) => weight.includes('.attn.'));
  return asked ?? (attention ? 'all' : 'mlp');
}

function plannedParts(program: Program, parts: Breakdown): PlannedParts {
  const flops = (chosen: Program['entries']) =>
    chosen.reduce((sum, entry) => sum + entryFlops(program, entry), 0);
  return {
    ...parts,
    peak: Object.values<number>({ ...parts }).reduce((sum, bytes) => sum + bytes, 0),
    flops: flops(updateEntries(program).map(({ entry }) => entry)),
    startFlops: flops(
      program.entries.filter(({ name }) => program.training?.cues[name]?.at === 'start'),
    ),
  };
}

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
