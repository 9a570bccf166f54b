/**
 * Whether an input in Tucker form saves work: the multiply-adds of a step that lead from x and dy to the
 * gradient of the linear's weight, with the input compressed and as it is.
 *
 * Legend: x [D_1 … D_d], T = Π D_m / I tokens, I = D_d, O outputs, K rank of the weight, r_m Tucker
 * ranks, ρ = r_1 … r_{d−1}.
 *
 *   as it is      T K (O + I)  for the two sides of a low-rank weight, T O I for a dense one
 *   compressed    the factors: with `whole` 2 |x| r_m for each truncated mode and the products of the
 *                 core, with `sequential` three products for each mode on what is left of x;
 *                 orthonormalising 4 r_m² D_m;  g = dy ×_m U_m, m < d;  p = Sᵀ g  ρ r_d O, and
 *                 from it pᵀq  r_d O I of a dense weight, dL = pᵀ(qRᵀ) and dR = (pL)ᵀq  2 r_d K (O + I)
 *                 of a low-rank one
 *                 (with a whole last mode ρ K (O + 2I) for the sides, and dz ×_m U_m besides)
 *
 * The update of the weight from there on is the same and left out, and so are passes over memory. Products
 * of every form run at the same speed, within a factor of two.
 *
 * A linear that runs on few of the tokens as it is (passes/narrow.ts), as those of a classifier's last block
 * do, would run on all of them for its input to be compressed: it never pays there.
 */
import { narrow } from '../passes/narrow.js';
import type { ModelGraph } from '../ir/graph.js';
import { elements, type Shape } from '../ir/types.js';
import { linears } from './linears.js';
import type { Ranks, Refresh } from './ranks.js';
import { cheapestOrder } from './tucker.js';

/** A linear whose input x may be saved in Tucker form. */
export interface CompressedLinear {
  /** Of x. */
  readonly shape: Shape;
  readonly outputs: number;
  /** K; null: the weight is dense. */
  readonly rank: number | null;
}

/** True when the gradient through `ranks` takes fewer multiply-adds than from the input itself. */
export function savesWork(
  linear: CompressedLinear,
  ranks: readonly number[],
  refresh: Exclude<Refresh, 'decompose'>,
): boolean {
  return compressedCost(linear, ranks, refresh) < plainCost(linear);
}

/** Those of `ranks` that save work in `model`, whose weights are in the form in which they train. */
export function cheaperRanks(
  model: ModelGraph,
  ranks: Ranks['activations'],
  refresh: Exclude<Refresh, 'decompose'>,
): Ranks['activations'] {
  const narrowed = narrowedLinears(model);
  const cheaper = linears(model, 'all').filter(({ weight, outputs, x, form }) => {
    if (!Object.hasOwn(ranks, weight) || narrowed.has(weight)) return false;
    const rank = form.kind === 'low-rank' ? form.right.type.shape[0] : null;
    return savesWork({ shape: x.type.shape, outputs, rank }, ranks[weight], refresh);
  });
  return Object.fromEntries(cheaper.map(({ weight }) => [weight, ranks[weight]]));
}

/** The weights, by their names in the dense model, whose linears run on few tokens as they are. */
export function narrowedLinears(model: ModelGraph): ReadonlySet<string> {
  return narrow(model, new Set()).narrowed ?? new Set();
}

function plainCost({ shape, outputs, rank }: CompressedLinear): number {
  const inputs = shape[shape.length - 1];
  const tokens = elements(shape) / inputs;
  return tokens * (rank === null ? outputs * inputs : rank * (outputs + inputs));
}

function compressedCost(
  { shape, outputs, rank }: CompressedLinear,
  ranks: readonly number[],
  refresh: Exclude<Refresh, 'decompose'>,
): number {
  const last = shape.length - 1;
  const inputs = shape[last];
  const modes = shape.flatMap((extent, axis) =>
    ranks[axis] < extent ? [{ axis, extent, rank: ranks[axis] }] : [],
  );
  const core = cheapestOrder(shape, modes).cost;
  const whole = modes.reduce((sum, mode) => sum + 2 * elements(shape) * mode.rank, core);
  const factors = refresh === 'sequential' ? 3 * core : whole;
  const bases = modes.reduce((sum, mode) => sum + 4 * mode.rank ** 2 * mode.extent, 0);
  const others = modes.filter(({ axis }) => axis !== last);
  const reduced = (width: number) => cheapestOrder(shape.with(last, width), others).cost;
  const rows = elements(ranks.slice(0, last));
  const refreshed = factors + bases + reduced(outputs);
  if (ranks[last] < inputs) {
    const p = rows * ranks[last] * outputs;
    const perRow = rank === null ? outputs * inputs : 2 * rank * (outputs + inputs);
    return refreshed + p + ranks[last] * perRow;
  }
  if (rank === null) return refreshed + rows * outputs * inputs;
  return refreshed + reduced(rank) + rows * rank * (outputs + 2 * inputs);
}
