/**
 * The numbers that a benchmark reports, from samples taken in rounds.
 *
 * A *round* measures every contestant once, one after the other, so that a machine whose speed
 * drifts (shared hosts drift by more than 2× within minutes) drifts for all of them. Therefore
 * absolute times are medians with their quartiles, and a comparison is the median of the ratios
 * taken within each round, never the ratio of two medians.
 */

/** Median, quartiles and extremes of a set of samples. */
export interface Spread {
  readonly median: number;
  /** Lower and upper quartile. */
  readonly low: number;
  readonly high: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** Samples of one contestant, by round; none in a round that it sat out. */
export type Rounds = readonly (readonly number[])[];

/** The spread of `values`. Throws RangeError for none. */
export function spread(values: readonly number[]): Spread {
  const sorted = sortedFinite(values);
  return {
    median: quantileOf(sorted, 0.5),
    low: quantileOf(sorted, 0.25),
    high: quantileOf(sorted, 0.75),
    min: sorted[0],
    max: sorted[sorted.length - 1],
    count: sorted.length,
  };
}

/** Middle value, the mean of the middle two for an even count. Throws RangeError for none. */
export function median(values: readonly number[]): number {
  return quantileOf(sortedFinite(values), 0.5);
}

/**
 * Spread over rounds of median(of) / median(base), each taken within its round; a round that either
 * sat out does not count. Throws RangeError when the two have not the same number of rounds, or
 * share none.
 */
export function pairedRatio(of: Rounds, base: Rounds): Spread {
  if (of.length !== base.length) {
    throw new RangeError(
      `paired ratio: expected as many rounds on both sides, got ${of.length} and ${base.length}`,
    );
  }
  const pairs = of.map((samples, round) => [samples, base[round]] as const);
  const shared = pairs.filter(([samples, beside]) => samples.length > 0 && beside.length > 0);
  return spread(shared.map(([samples, beside]) => median(samples) / median(beside)));
}

function sortedFinite(values: readonly number[]): readonly number[] {
  const bad = values.find((value) => !Number.isFinite(value));
  if (values.length === 0 || bad !== undefined) {
    throw new RangeError(`statistics: expected finite samples, got ${bad ?? 'none'}`);
  }
  return [...values].sort((a, b) => a - b);
}

/** Linear interpolation between the neighbours of rank q · (count − 1). */
function quantileOf(sorted: readonly number[], q: number): number {
  const rank = q * (sorted.length - 1);
  const below = Math.floor(rank);
  const above = Math.ceil(rank);
  return sorted[below] + (rank - below) * (sorted[above] - sorted[below]);
}
