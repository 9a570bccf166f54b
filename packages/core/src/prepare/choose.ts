/**
 * choose: one option for each layer so that the sum of losses is least and the sum of bytes is within a
 * budget (the multiple-choice knapsack problem).
 *
 * Dynamic programme over bytes above the least possible, in buckets: best[b] after layer l is the state of
 * least loss whose bytes fall into bucket b. A state keeps its exact bytes, so the budget is never exceeded.
 * The choice is optimal where a bucket holds one number of bytes (always, when all differences share a
 * divisor that cuts the budget into at most BUCKETS parts), and within a bucket's width per layer otherwise.
 */
import { BudgetError } from '../errors.js';
import { megabytes } from '../plan/report.js';

export interface Option {
  readonly bytes: number;
  readonly loss: number;
}

const BUCKETS = 1 << 14;

/**
 * Index of the option chosen in each layer. Ties go to the cheaper option.
 *
 * @param layers options of each layer, at least one; bytes are whole numbers.
 * @param what whose budget it is, for the error: `Tucker cores and factors`.
 * Throws BudgetError, naming the least bytes that are possible, when not even those fit.
 */
export function choose(
  layers: readonly (readonly Option[])[],
  budget: number,
  what: string,
): readonly number[] {
  const least = layers.map((options) => Math.min(...options.map(({ bytes }) => bytes)));
  const room = budget - leastBytes(layers);
  if (!(room >= 0)) throw tooSmall(layers, budget, what);
  const unit = Math.max(divisor(layers, least), room / (BUCKETS - 1));
  const buckets = Math.floor(room / unit) + 1;
  const choices: Uint16Array[] = [];
  const origins: Uint16Array[] = [];
  let state = emptyState(buckets);
  state.loss[0] = 0;
  for (const [layer, options] of layers.entries()) {
    const next = emptyState(buckets);
    const choice = new Uint16Array(buckets);
    const origin = new Uint16Array(buckets);
    for (const [index, option] of options.entries()) {
      const extra = option.bytes - least[layer];
      for (let from = 0; from < buckets; from++) {
        const bytes = state.bytes[from] + extra;
        if (state.loss[from] === Infinity || bytes > room) continue;
        const loss = state.loss[from] + option.loss;
        const to = Math.floor(bytes / unit);
        if (!(loss < next.loss[to] || (loss === next.loss[to] && bytes < next.bytes[to]))) continue;
        next.loss[to] = loss;
        next.bytes[to] = bytes;
        choice[to] = index;
        origin[to] = from;
      }
    }
    choices.push(choice);
    origins.push(origin);
    state = next;
  }
  let bucket = state.loss.indexOf(state.loss.reduce((best, loss) => Math.min(best, loss)));
  const chosen = new Array<number>(layers.length);
  for (let layer = layers.length - 1; layer >= 0; layer--) {
    chosen[layer] = choices[layer][bucket];
    bucket = origins[layer][bucket];
  }
  return chosen;
}

/** The least bytes that any choice takes. */
export function leastBytes(layers: readonly (readonly Option[])[]): number {
  return layers.reduce(
    (sum, options) => sum + Math.min(...options.map((option) => option.bytes)),
    0,
  );
}

/** States by bucket; a loss of Infinity marks an empty one. */
function emptyState(buckets: number) {
  return { loss: new Float64Array(buckets).fill(Infinity), bytes: new Float64Array(buckets) };
}

/** Greatest common divisor of all differences of bytes; 1 when there are none. */
function divisor(layers: readonly (readonly Option[])[], least: readonly number[]): number {
  let result = 0;
  for (const [layer, options] of layers.entries()) {
    for (const { bytes } of options) {
      let other = bytes - least[layer];
      while (other > 0) [result, other] = [other, result % other];
    }
  }
  return Math.max(1, result);
}

function tooSmall(
  layers: readonly (readonly Option[])[],
  budget: number,
  what: string,
): BudgetError {
  const minimum = leastBytes(layers);
  return new BudgetError({
    where: `budget of ${what}`,
    expected: `at least ${megabytes(minimum)} (${String(minimum)} bytes) for ${String(layers.length)} layers at their smallest ranks`,
    got: `${megabytes(budget)} (${String(budget)} bytes)`,
    todo: `Raise it to ${String(minimum)} bytes or more, or factor fewer layers`,
  });
}
