/** What a run's choices save: its plan beside that of `full` with the same batch whole. */
import {
  compile,
  memoryReport,
  parseMethod,
  PLAIN_METHOD,
  type MemoryReport,
  type SavedForm,
} from '@thimble/core';
import type { CompiledStep } from './step.js';

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

/** The plan of a run beside that of `full`. */
export interface ComparisonEvent extends Comparison {
  readonly event: 'comparison';
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
