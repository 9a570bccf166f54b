/**
 * Into how many slices a micro-batch is cut (core/src/passes/slices.ts).
 *
 * A slice costs next to no time as long as its products are large. ViT-Ti/16, 224 px, batch 16, `full`, `smallest`,
 * processor time of one thread, best of five in turns: 890 ms whole, 891 in 4 slices of 788 rows; 71 MB
 * planned in the place of 91.
 */
import { linears, type BoundMethod, type ModelGraph, type SavedForm } from '@thimble/core';

/** Rows of the smallest product of a block that a slice is left. */
const LEAST_ROWS = 768;

/**
 * Images that a slice is left where inputs are in Tucker form: `prepare` measures ranks on no more, so that a
 * longer slice would gain nothing by them.
 */
const TUCKER_IMAGES = 16;

/** More slices save little more, and a program has steps for each. */
const MOST_SLICES = 16;

/**
 * The numbers of slices of equal size that cost next to no time, rising; 1 always does.
 *
 * @param model for one image
 * @param pass images of a micro-batch
 */
export function slicesOf(model: ModelGraph, pass: number): readonly number[] {
  const rows = linears(model, 'all').map(({ x: { type } }) =>
    type.shape.slice(0, -1).reduce((product, extent) => product * extent, 1),
  );
  return dividing(pass, Math.min(...rows));
}

/** @param rows of one image */
export function dividing(pass: number, rows: number): readonly number[] {
  const all = Array.from({ length: MOST_SLICES }, (_, index) => index + 1);
  const isLarge = (slices: number) => slices === 1 || (pass / slices) * rows >= LEAST_ROWS;
  return all.filter((slices) => pass % slices === 0 && isLarge(slices));
}

/**
 * The number of slices where none is asked for: one, or the most where blocks are recomputed, so that what lives
 * within one is most of the memory. Ranks and factors of inputs in Tucker form belong to the images of a slice,
 * which are then TUCKER_IMAGES or more.
 */
export function defaultSlices(
  { probe }: BoundMethod,
  saved: SavedForm,
  model: ModelGraph,
  pass: number,
): number {
  if (saved !== 'smallest') return 1;
  const least = probe?.activations ? TUCKER_IMAGES : 1;
  const long = slicesOf(model, pass).filter((slices) => slices === 1 || pass / slices >= least);
  return long.at(-1) ?? 1;
}
