/** Sum over leading axes: the gradient of whatever was repeated, such as a bias. */
import type { Value } from '../ir/graph.js';
import { elements, f32 } from '../ir/types.js';
import { broadcastTokens } from './broadcast-tokens.js';
import { expectShape, type Emitter, type Op } from './op.js';
import { reshaped } from './reshape.js';
import { columnSumBytes, expectForm, expectInteger } from './shapes.js';

export type SumRowsParams = {
  /** How many leading axes are summed. */
  readonly axes: number;
};

/** y[c] = Σᵣ x[r,c], r over the first `axes` axes and c over the others. */
export const sumRows: Op<SumRowsParams, 'x', never, 'y', never> = {
  name: 'sum_rows',
  summary: 'y[c] = Σᵣ x[r,c]',
  inputs: ['x'],
  outputs: ['y'],
  params: { axes: 'whole' },
  infer: ({ x }, { axes }, at) => {
    expectForm(at, 'x', x, 'f32[...,C]');
    expectInteger(at, 'axes', axes, 1);
    expectShape(axes <= x.shape.length, at, `x of rank ${String(axes)} or more`, x);
    return { y: f32(...x.shape.slice(axes)) };
  },
  grad: ({ emitter, inputs, outputGrads, params, needs }) => {
    if (!outputGrads.y || !needs('x')) return {};
    const shape = inputs.x.type.shape;
    const { rows, cols } = sizes(shape, params.axes);
    const row = reshaped(emitter, outputGrads.y, [1, cols]);
    const all = emitter.emit(broadcastTokens, { x: row }, { tokens: rows, scale: 1 }).y;
    return { x: reshaped(emitter, all, shape) };
  },
  flops: ({ x }) => elements(x.shape),
  recompute: 'costly',
  reference: ({ x }, { y }, types, { axes }) => {
    const { rows, cols } = sizes(types.x.shape, axes);
    y.fill(0);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++) y[c] += x[r * cols + c];
    }
  },
  scalars: { rows: 'int', cols: 'int' },
  encode: ({ x }, { axes }) => sizes(x.shape, axes),
  workspace: ({ x }, { axes }) => columnSumBytes(sizes(x.shape, axes).cols),
  samples: [
    { title: 'small', params: { axes: 1 }, inputs: { x: { type: f32(3, 5) } } },
    { title: 'two axes', params: { axes: 2 }, inputs: { x: { type: f32(2, 9, 19) } } },
    { title: 'one row', params: { axes: 1 }, inputs: { x: { type: f32(1, 2, 33) } } },
    { title: 'to a scalar', params: { axes: 1 }, inputs: { x: { type: f32(7) } } },
    { title: 'many rows', params: { axes: 2 }, inputs: { x: { type: f32(3, 130, 67) } } },
  ],
};

/** The sum over `axes` leading axes; emits nothing when there are none. */
export function summed(emitter: Emitter, value: Value, axes: number): Value {
  return axes === 0 ? value : emitter.emit(sumRows, { x: value }, { axes }).y;
}

function sizes(shape: readonly number[], axes: number) {
  return { rows: elements(shape.slice(0, axes)), cols: elements(shape.slice(axes)) };
}
