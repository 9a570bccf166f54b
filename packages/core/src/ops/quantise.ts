/**
 * Rows as 8-bit integers with one scale each: a form in which tensors are saved for the backward
 * pass at a quarter of their bytes.
 *
 * An element is off by at most half a step, max|x| / 254 of its row. Inserted behind autodiff, so
 * it has no gradient: the forward pass goes on with x itself. A row with NaN or infinity comes back
 * without a finite element, so that a broken step stays visible.
 */
import { elements, f32, i8 } from '../ir/types.js';
import type { Op } from './op.js';
import { expectForm, lastOf, rowsOf, type NoParams } from './shapes.js';

/** The largest magnitude of an i8 here; −128 is not used, so that a row and its negative agree. */
export const LEVELS = 127;

/** Rows that are smaller throughout become zeros: 127 / max would overflow. TINY of magnitude.h. */
export const TINY = 2 ** -100;

/** q = round(x · 127 / max|x|), ties to even; scale = max|x| / 127; x [..., D], scale [...]. */
export const quantise: Op<NoParams, 'x', never, 'q' | 'scale', never> = {
  name: 'quantise',
  summary: 'q = round(x · 127 / max|x|) per row, ties to even; scale = max|x| / 127',
  inputs: ['x'],
  outputs: ['q', 'scale'],
  params: {},
  infer: ({ x }, _params, at) => {
    expectForm(at, 'x', x, 'f32[...,D]');
    return { q: i8(...x.shape), scale: f32(...x.shape.slice(0, -1)) };
  },
  flops: ({ x }) => 4 * elements(x.shape),
  recompute: 'cheap',
  reference: ({ x }, { q, scale }, types) => {
    const rows = rowsOf(types.x.shape);
    const cols = lastOf(types.x.shape);
    for (let r = 0; r < rows; r++) {
      let most = 0;
      for (let c = 0; c < cols; c++) most = Math.max(most, Math.abs(x[r * cols + c]));
      const tiny = most < TINY;
      scale[r] = tiny ? 0 : most / LEVELS;
      for (let c = 0; c < cols; c++) {
        q[r * cols + c] = tiny ? 0 : roundToEven(x[r * cols + c] * (LEVELS / most));
      }
    }
  },
  scalars: { rows: 'int', cols: 'int' },
  encode: ({ x }) => ({ rows: rowsOf(x.shape), cols: lastOf(x.shape) }),
  // A value that lies on a tie but for rounding may round either way, a whole step apart. So the
  // rows of "ties" have 127 as their largest magnitude, which makes the factor exactly 1 everywhere, and
  // the random ones were drawn until none came near a tie (they are the same in every run).
  samples: [
    {
      title: 'ties',
      params: {},
      inputs: {
        x: {
          type: f32(2, 9),
          values: [
            [127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -126.5],
            [-127, 0, 0.25, 3.75, -64.5, 63.5, 0.75, -0.25, 125.5],
          ].flat(),
        },
      },
    },
    {
      title: 'zeros and tiny numbers',
      params: {},
      inputs: {
        x: { type: f32(3, 5), values: [0, 0, 0, 0, 0, 1e-38, 0, -1e-31, 0, 0, 1e-30, 0, 0, 0, 0] },
      },
    },
    { title: 'small', params: {}, inputs: { x: { type: f32(3, 5) } } },
    { title: 'odd', params: {}, inputs: { x: { type: f32(2, 3, 67), low: -40, high: 3 } } },
    {
      title: 'many rows',
      params: {},
      inputs: { x: { type: f32(37, 33), low: -1e-3, high: 1e-3 } },
    },
    { title: 'one row', params: {}, inputs: { x: { type: f32(19) } } },
    { title: 'one column', params: {}, inputs: { x: { type: f32(21, 1) } } },
  ],
};

/** The nearest integer, the even one of two. */
export function roundToEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
