/** What a result of the step benchmark says about two of its rows. */
import { pairedRatio, type Spread } from '../harness/statistics.js';
import { PEERS } from '../peers/index.js';
import { oneThreadName, ownName } from './contestants.js';
import type { CaseResult, StepRow } from './measure.js';

type Measured = Exclude<StepRow, { readonly missing: string }>;

/** The row called `name`; null where it is missing. */
export function measuredRow({ rows }: Pick<CaseResult, 'rows'>, name: string): Measured | null {
  return rows.filter((row) => 'ratioTo' in row).find((row) => row.name === name) ?? null;
}

/** How many times as fast `name` is as `beside`, within each round; null where one is missing. */
export function timesAsFast(
  result: Pick<CaseResult, 'rows'>,
  name: string,
  beside: string,
): Spread | null {
  const [own, other] = [measuredRow(result, name), measuredRow(result, beside)];
  return own && other && pairedRatio(other.samples, own.samples);
}

/** The row of ours that `name` is compared with: a peer of its means, or itself on one thread. */
export function counterpart(name: string): string | null {
  for (const means of ['native', 'wasm'] as const) {
    if (name === oneThreadName(means)) return ownName(means);
  }
  const peer = PEERS.find((one) => one.name === name);
  return peer ? ownName(peer.means) : null;
}

/**
 * Share of the measured FMA peak that `name` reaches, within each round; null where one of them is
 * missing. A sample is milliseconds, the peak GFLOP/s.
 */
export function shareOfPeak(
  result: Pick<CaseResult, 'rows' | 'peak'>,
  name: string,
): Spread | null {
  const row = measuredRow(result, name);
  const flops = row?.ready.flopsPerStep;
  if (!row || flops === undefined || !result.peak) return null;
  const rates = row.samples.map((round) => round.map((ms) => flops / ms / 1e6));
  return pairedRatio(rates, result.peak);
}
