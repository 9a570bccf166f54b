/**
 * search: the range of dampening that a budget allows. A smaller α dampens what a larger one does and more, so
 * that accuracy falls, by and large, as α falls.
 */

/** How often α is halved or doubled before the search gives up. */
const MOST_STEPS = 10;
/** Bisections between the last α within the budget and the first beyond it: to a factor of 2^(1/8). */
const BISECTIONS = 3;

/**
 * The smallest α found to be within the budget, by doubling or halving `first` until the budget is crossed, then
 * by bisection; null where none is.
 */
export async function strongestAlpha(
  first: number,
  isWithin: (alpha: number) => Promise<boolean>,
): Promise<number | null> {
  let within = (await isWithin(first)) ? first : null;
  let beyond = within === null ? first : null;
  for (let step = 1; step <= MOST_STEPS && (within === null || beyond === null); step++) {
    const alpha = first * 2 ** (within === null ? step : -step);
    if (await isWithin(alpha)) within = alpha;
    else beyond = alpha;
  }
  if (within === null || beyond === null) return within;
  let range = { within, beyond };
  for (let step = 0; step < BISECTIONS; step++) {
    const alpha = Math.sqrt(range.within * range.beyond);
    range = (await isWithin(alpha)) ? { ...range, within: alpha } : { ...range, beyond: alpha };
  }
  return range.within;
}
