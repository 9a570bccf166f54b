/**
 * Times a workload beside the machine's own peaks, in turns: a step, a peak, a step, … A machine
 * whose speed drifts then drifts for both, and a share of the peak is taken within a turn.
 */
import {
  entryNamed,
  median,
  profileRows,
  type ExecutorKind,
  type PeakMeter,
  type ProfileRows,
} from '@thimble/core';
import type { Workload } from './workload.js';

/** Steps before anything is timed: the first one touches the arena's memory. */
const WARMUP_STEPS = 2;

/** Memory in which the copy's peak is measured: more than the caches of most processors. */
const COPY_BYTES = 64e6;

/** Median and quartiles. */
export interface Quartiles {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export interface StepTimes {
  readonly ms: Quartiles;
  /** Of the process, before the peaks were measured. */
  readonly rssPeakBytes: number;
  /** Multiply-adds of all threads, in operations per second; null where there is no such peak. */
  readonly peakFlops: number | null;
  /** Of the peak that was measured next to each step. */
  readonly shareOfPeak: number | null;
}

export interface Profile {
  readonly rows: ProfileRows;
  readonly peakFlops: number | null;
  /** Bytes per second, read and written. */
  readonly peakCopy: number | null;
}

/** @param flops operations of one step. Throws the reason of the signal. */
export async function timeSteps(
  workload: Workload,
  kind: ExecutorKind,
  { steps, flops }: { readonly steps: number; readonly flops: number },
  signal?: AbortSignal,
): Promise<StepTimes> {
  for (let step = 0; step < WARMUP_STEPS; step++) await workload.step();
  const rssPeakBytes = process.resourceUsage().maxRSS * 1024;
  const ms: number[] = [];
  const peaks: number[] = [];
  await withPeaks(workload, kind, async (meter) => {
    for (let step = 0; step < steps; step++) {
      signal?.throwIfAborted();
      ms.push(await workload.step());
      if (meter) peaks.push(await meter.flops());
    }
  });
  const shares = peaks.map((peak, step) => (1000 * flops) / ms[step] / peak);
  return {
    ms: quartiles(ms),
    rssPeakBytes,
    peakFlops: peaks.length > 0 ? median(peaks) : null,
    shareOfPeak: shares.length > 0 ? median(shares) : null,
  };
}

/** Medians of `steps` profiled steps. */
export async function profileSteps(
  workload: Workload,
  kind: ExecutorKind,
  steps: number,
  signal?: AbortSignal,
): Promise<Profile> {
  const { executor, parts } = workload;
  const runs: (readonly (readonly number[])[])[] = [];
  const flops: number[] = [];
  const copies: number[] = [];
  await withPeaks(workload, kind, async (meter) => {
    for (let step = 0; step < steps; step++) {
      signal?.throwIfAborted();
      runs.push(await workload.profile());
      if (!meter) continue;
      flops.push(await meter.flops());
      copies.push(await meter.copy(COPY_BYTES));
    }
  });
  const entries = parts.map(({ entry: name, times }, part) => {
    const entry = entryNamed(executor.program, name);
    const ms = entry.steps.map((_, index) => median(runs.map((run) => run[part][index])));
    return { entry, ms, times };
  });
  return {
    rows: profileRows(executor.program, entries),
    peakFlops: flops.length > 0 ? median(flops) : null,
    peakCopy: copies.length > 0 ? median(copies) : null,
  };
}

/** Median, and the medians of the halves below and above it. */
export function quartiles(values: readonly number[]): Quartiles {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.ceil(sorted.length / 2);
  return {
    median: median(sorted),
    low: median(sorted.slice(0, half)),
    high: median(sorted.slice(-half)),
  };
}

async function withPeaks(
  { executor }: Workload,
  kind: ExecutorKind,
  measure: (meter: PeakMeter | null) => Promise<void>,
): Promise<void> {
  const meter = (await kind.peaks?.({ threads: executor.threads })) ?? null;
  try {
    await measure(meter);
  } finally {
    await meter?.dispose();
  }
}
