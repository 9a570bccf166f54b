/** Gradient of relative_position_bias: every entry of the table sums what it was copied to. */
import { elements, f32, type TensorType } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectInteger } from './shapes.js';

export type RelativePositionParams = {
  /** Side w of a window in tokens. */
  readonly window: number;
};

/** Row of the table for tokens i and j of a window. */
export function displacement(window: number, i: number, j: number): number {
  const down = Math.floor(i / window) - Math.floor(j / window);
  const right = (i % window) - (j % window);
  return (down + window - 1) * (2 * window - 1) + right + window - 1;
}

export function tableType(window: number, heads: number): TensorType {
  return f32((2 * window - 1) ** 2, heads);
}

/** dtable[r, h] = Σ dy[h, i, j] over the tokens i, j of displacement r. */
export const relativePositionBiasGrad: Op<RelativePositionParams, 'dy', never, 'dtable', never> = {
  name: 'relative_position_bias_grad',
  gradientOf: 'relative_position_bias',
  summary: 'dtable[r, h] = Σ dy[h, i, j] over the tokens i, j of displacement r',
  inputs: ['dy'],
  outputs: ['dtable'],
  params: { window: 'whole' },
  infer: ({ dy }, { window }, at) => {
    expectForm(at, 'dy', dy, 'f32[heads,w²,w²]');
    expectInteger(at, 'window', window, 1);
    const [heads, rows, columns] = dy.shape;
    const tokens = window ** 2;
    expectShape(
      rows === tokens && columns === tokens,
      at,
      `dy for windows of ${String(tokens)} tokens`,
      dy,
    );
    return { dtable: tableType(window, heads) };
  },
  flops: ({ dy }) => elements(dy.shape),
  recompute: 'cheap',
  reference: ({ dy }, { dtable }, types, { window }) => {
    const [heads, tokens] = types.dy.shape;
    dtable.fill(0);
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < tokens; i++) {
        for (let j = 0; j < tokens; j++) {
          dtable[displacement(window, i, j) * heads + h] += dy[(h * tokens + i) * tokens + j];
        }
      }
    }
  },
  scalars: { heads: 'int', window: 'int' },
  encode: ({ dy }, { window }) => ({ heads: dy.shape[0], window }),
  samples: [
    { title: 'small', params: { window: 2 }, inputs: { dy: { type: f32(2, 4, 4) } } },
    { title: 'one token', params: { window: 1 }, inputs: { dy: { type: f32(3, 1, 1) } } },
    { title: 'swin', params: { window: 7 }, inputs: { dy: { type: f32(3, 49, 49) } } },
    { title: 'one head', params: { window: 4 }, inputs: { dy: { type: f32(1, 16, 16) } } },
  ],
};
