/**
 * Adds the change of a product of two thin matrices to a wide one, in place: how a dense weight
 * follows factors that were updated, without a temporary of the weight's size.
 */
import { elements, f32 } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { expectForm, expectType } from './shapes.js';

export type ProductChangeParams = {
  /** λ of decoupled weight decay, as in adamw. */
  readonly weightDecay: number;
};

/**
 * p ← (1 − lr · weightDecay) · p + u'ᵀ v' − uᵀ v, with p [O, I] or [O, I, 1, 1], u and u' [r, O], v and v' [r, I];
 * u' and v' are `uNext` and `vNext`.
 *
 * Computed as (u' − u)ᵀ v' + uᵀ (v' − v): the products are nearly equal, their difference is not
 * what is left of them after rounding.
 */
export const productChange: Op<
  ProductChangeParams,
  'param' | 'u' | 'v' | 'uNext' | 'vNext' | 'lr',
  never,
  'paramOut',
  never
> = {
  name: 'product_change',
  summary: 'p ← (1 − lr · weightDecay) · p + uNextᵀ vNext − uᵀ v',
  inputs: ['param', 'u', 'v', 'uNext', 'vNext', 'lr'],
  outputs: ['paramOut'],
  params: { weightDecay: 'size' },
  infer: ({ param, u, v, uNext, vNext, lr }, _params, at) => {
    const isMatrix =
      param.shape.length >= 2 && param.shape.slice(2).every((extent) => extent === 1);
    expectShape(isMatrix, at, 'param of type f32[O,I], or with ones behind', param);
    expectForm(at, 'u', u, 'f32[R,O]');
    const [outputs, inputs] = param.shape;
    const [rank, length] = u.shape;
    expectShape(length === outputs, at, `u of type f32[R,${String(outputs)}]`, u);
    expectType(at, 'v', v, f32(rank, inputs));
    expectType(at, 'uNext', uNext, u);
    expectType(at, 'vNext', vNext, v);
    expectType(at, 'lr', lr, f32());
    return { paramOut: param };
  },
  flops: ({ param, u }) => (4 * u.shape[0] + 1) * elements(param.shape),
  recompute: 'costly',
  reference: ({ param, u, v, uNext, vNext, lr }, { paramOut }, types, { weightDecay }) => {
    const [outputs, inputs] = types.param.shape;
    const [rank] = types.u.shape;
    const keep = 1 - lr[0] * weightDecay;
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        let sum = keep * param[o * inputs + i];
        for (let k = 0; k < rank; k++) {
          const [uAt, vAt] = [k * outputs + o, k * inputs + i];
          sum += (uNext[uAt] - u[uAt]) * vNext[vAt] + u[uAt] * (vNext[vAt] - v[vAt]);
        }
        paramOut[o * inputs + i] = sum;
      }
    }
  },
  updates: [['paramOut', 'param']],
  scalars: { outputs: 'int', inputs: 'int', rank: 'int', weightDecay: 'float' },
  encode: ({ param, u }, { weightDecay }) => ({
    outputs: param.shape[0],
    inputs: param.shape[1],
    rank: u.shape[0],
    weightDecay,
  }),
  samples: [
    sample('small', [3, 5], 2, 0),
    sample('decay, odd sizes', [7, 67], 3, 0.5),
    sample('rank 1', [33, 16], 1, 0.01),
    sample('high rank', [9, 40], 9, 0),
    sample('long', [30, 1031], 4, 0.1),
    sample('one element', [1, 1], 1, 0),
    sample('pixels', [5, 19], 2, 0.1, [1, 1]),
  ],
};

function sample(
  title: string,
  [outputs, inputs]: readonly [number, number],
  rank: number,
  weightDecay: number,
  behind: readonly number[] = [],
) {
  const [u, v] = [{ type: f32(rank, outputs) }, { type: f32(rank, inputs) }];
  const lr = { type: f32(), values: [0.1] };
  const param = { type: f32(outputs, inputs, ...behind) };
  return { title, params: { weightDecay }, inputs: { param, u, v, uNext: u, vNext: v, lr } };
}
