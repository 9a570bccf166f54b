/**
 * A bound on the speed of counted instructions on an Arm Cortex-A76, the core of the Raspberry Pi 5.
 *
 * Per cycle it decodes four instructions, starts two 128-bit vector operations and two loads of 16
 * bytes. No schedule can be shorter than the longest of these; caches, branches and latencies can
 * only make it longer.
 *
 * Reference: Arm, "Cortex-A76 Software Optimization Guide", sections 2 and 3.
 */
import { total, type Counts } from './instructions.js';

export const CORTEX_A76 = {
  name: 'Cortex-A76',
  gigahertz: 2.4,
  decode: 4,
  vectorPipes: 2,
  loadPipes: 2,
  /** Cycles from the operands of a multiply-add to its result. */
  latency: 4,
} as const;

/** Floating-point operations in one 128-bit fmla. */
export const FLOPS_PER_FMLA = 8;

export interface Bound {
  /** At least so many. */
  readonly cycles: number;
  /** What there is too little of. */
  readonly by: 'vector pipes' | 'load pipes' | 'decode';
  /** At most so many. */
  readonly gflops: number;
}

/** Peak of one core: every vector pipe starts an fmla in every cycle. */
export function peakGflops(): number {
  return CORTEX_A76.gigahertz * CORTEX_A76.vectorPipes * FLOPS_PER_FMLA;
}

/** The bound for `counts` that do `flops` floating-point operations. */
export function boundOf(counts: Counts, flops: number): Bound {
  const vector = counts.fmla + counts.vector + counts.broadcast;
  const needs = [
    { by: 'vector pipes', cycles: vector / CORTEX_A76.vectorPipes },
    { by: 'load pipes', cycles: counts.loadRegisters / CORTEX_A76.loadPipes },
    { by: 'decode', cycles: total(counts) / CORTEX_A76.decode },
  ] as const;
  const worst = needs.reduce((a, b) => (b.cycles > a.cycles ? b : a));
  return { ...worst, gflops: (CORTEX_A76.gigahertz * flops) / worst.cycles };
}
