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
  type PaperReport,
  type Program,
  type Refresh,
} from '@thimble/core';
import type { CompiledStep, TrainingStep } from './step.js';

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
