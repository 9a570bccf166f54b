/**
 * Momentum with its velocity in 8 bits: what `velocity` does, in about a quarter of its memory.
 *
 * GROUP elements share their largest magnitude m; the code of one is c = ±round(127 √(|v| / m)), so
 * v = m c|c| / 127². Half of a code is off by |v| / c at most: 0.8 % of the largest elements, 8 % of those
 * that are a hundredth of them, where evenly spaced codes are off by 39 %. The step is taken from the velocity
 * before it is rounded.
 *
 * Reference: Dettmers et al., 8-bit optimizers via block-wise quantization, ICLR 2022
 * (arXiv:2110.02861): groups with a scale of their own, codes that are denser near zero (theirs are
 * another map).
 */
import { elements, f32, i8, type TensorType } from '../ir/types.js';
import { expectShape, type Op } from './op.js';
import { LEVELS, roundToEven, TINY } from './quantise.js';
import { expectForm, expectType } from './shapes.js';
import type { VelocityParams } from './velocity.js';

/** Elements in a row that share a magnitude; GROUP of optimizer.c. */
const GROUP = 64;

/** Types of the state for a tensor that is trained. */
export function quantisedTypes({ shape }: TensorType): {
  readonly codes: TensorType;
  readonly magnitudes: TensorType;
} {
  return { codes: i8(...shape), magnitudes: f32(Math.ceil(elements(shape) / GROUP)) };
}

/**
 * v = m c|c| / 127²; g = scale · grad + weightDecay · param; v ← momentum · v + g; step = v, with Nesterov
 * g + momentum · v; then m and c of the new v. `scale` is the clipping factor.
 */
export const quantisedVelocity: Op<
  VelocityParams,
  'codes' | 'magnitudes' | 'grad',
  'param' | 'scale',
  'codesOut' | 'magnitudesOut' | 'step',
  never
> = {
  name: 'quantised_velocity',
  summary: 'v ← momentum · v + scale · grad + weightDecay · param, kept as m c|c| / 127²',
  inputs: ['codes', 'magnitudes', 'grad', 'param?', 'scale?'],
  outputs: ['codesOut', 'magnitudesOut', 'step'],
  params: { momentum: 'share', nesterov: 'truth', weightDecay: 'size' },
  infer: ({ codes, magnitudes, grad, param, scale }, { weightDecay }, at) => {
    expectForm(at, 'grad', grad, 'f32[...]');
    const types = quantisedTypes(grad);
    expectType(at, 'codes', codes, types.codes);
    expectType(at, 'magnitudes', magnitudes, types.magnitudes);
    if (param) expectType(at, 'param', param, grad);
    if (scale) expectType(at, 'scale', scale, f32());
    const decay = `weightDecay ${String(weightDecay)}`;
    expectShape(Boolean(param) || weightDecay === 0, at, 'no weight decay without a param', decay);
    return { codesOut: codes, magnitudesOut: magnitudes, step: grad };
  },
  flops: ({ grad }) => 14 * elements(grad.shape),
  recompute: 'costly',
  reference: (inputs, { codesOut, magnitudesOut, step }, _types, params) => {
    const { codes, magnitudes, grad, param, scale } = inputs;
    const { momentum, nesterov, weightDecay } = params;
    const factor = scale ? scale[0] : 1;
    for (let first = 0; first < grad.length; first += GROUP) {
      const group = first / GROUP;
      const end = Math.min(first + GROUP, grad.length);
      const next = new Float64Array(end - first);
      for (let i = first; i < end; i++) {
        const code = codes[i] / LEVELS;
        const old = magnitudes[group] * code * Math.abs(code);
        const g = factor * grad[i] + (param ? weightDecay * param[i] : 0);
        const v = momentum * old + g;
        next[i - first] = v;
        step[i] = nesterov ? g + momentum * v : v;
      }
      const most = next.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const tiny = most < TINY;
      magnitudesOut[group] = tiny ? 0 : most;
      for (const [at, v] of next.entries()) {
        const code = tiny ? 0 : roundToEven(LEVELS * Math.sqrt(Math.abs(v) / most));
        codesOut[first + at] = Math.sign(v) * code;
      }
    }
  },
  gradient: 'grad',
  updates: [
    ['codesOut', 'codes'],
    ['magnitudesOut', 'magnitudes'],
  ],
  inPlace: [['step', 'grad']],
  scalars: { count: 'int', momentum: 'float', nesterov: 'int', weightDecay: 'float' },
  encode: ({ grad }, { momentum, nesterov, weightDecay }) => ({
    count: elements(grad.shape),
    momentum,
    nesterov: Number(nesterov),
    weightDecay,
  }),
  samples: [
    sample('plain', [3, 5], { momentum: 0.9, nesterov: false, weightDecay: 0 }),
    sample('decay, clipped', [67], { momentum: 0.9, nesterov: false, weightDecay: 0.05 }),
    sample('nesterov', [2, 64], { momentum: 0.5, nesterov: true, weightDecay: 0 }),
    sample('long', [3, 331], { momentum: 0.9, nesterov: true, weightDecay: 0.01 }),
  ],
};

function sample(title: string, shape: readonly number[], params: VelocityParams) {
  const type = f32(...shape);
  const { codes, magnitudes } = quantisedTypes(type);
  return {
    title,
    params,
    inputs: {
      codes: { type: codes, low: -LEVELS, high: LEVELS + 1 },
      magnitudes: { type: magnitudes, low: 0, high: 2 },
      grad: { type },
      ...(params.weightDecay > 0 && {
        param: { type },
        scale: { type: f32(), values: [0.25] },
      }),
    },
  };
}
