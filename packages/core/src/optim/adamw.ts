/** AdamW: Adam with decoupled weight decay. */
import { f32 } from '../ir/types.js';
import { adamw as adamwOp } from '../ops/adamw.js';
import { biasCorrection } from '../ops/bias-correction.js';
import { updatePair } from './low-rank.js';
import { decayOf, type DecayScope, type Optimizer } from './optimizer.js';
import { momentsOf, zero } from './states.js';
import { check } from './sgd.js';

/** Settings of `adamw`; see there for the letters. */
export interface AdamWSettings {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  readonly weightDecay?: number;
  readonly decay?: DecayScope;
}

/**
 * p ← p(1 − ηλ); m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; p ← p − η·m̂ / (√v̂ + ε).
 *
 * A weight in low-rank form follows the same rule on its tangent space: low-rank.ts.
 *
 * State: m and v, two tensors per parameter. Throws ConfigError for β outside [0, 1), ε ≤ 0 or λ < 0.
 *
 * @example adamw({ weightDecay: 0.05 })
 * Reference: Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019, algorithm 2;
 * torch.optim.AdamW.
 */
export function adamw(settings: AdamWSettings = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01 } = settings;
  const { decay = 'matrices' } = settings;
  check(beta1 >= 0 && beta1 < 1, 'beta1', 'a number in [0, 1)', beta1);
  check(beta2 >= 0 && beta2 < 1, 'beta2', 'a number in [0, 1)', beta2);
  check(eps > 0, 'eps', 'a number > 0', eps);
  check(weightDecay >= 0, 'weightDecay', 'a number ≥ 0', weightDecay);
  return {
    name: 'adamw',
    settings: { beta1, beta2, eps, weightDecay, decay },
    stateTensors: 2,
    inputs: (builder) => ({
      lr: builder.input('lr', f32()),
      correction: builder.input('correction', f32(2)),
    }),
    update: (builder, param, grad, { lr, correction }, scale) => {
      const [m, v] = momentsOf(builder, param);
      return builder.emit(
        adamwOp,
        { param, grad, m, v, lr, correction, ...(scale ? { scale } : {}) },
        { beta1, beta2, eps, weightDecay: decayOf(param, weightDecay, decay) },
        `update.${param.name}`,
      ).paramOut;
    },
    decay: (param) => decayOf(param, weightDecay, decay),
    reset: (builder, name, tensors) => {
      const moments = tensors.flatMap((tensor) => momentsOf(builder, tensor));
      zero(builder, [...moments, builder.state(`${name}.known`, f32(2))]);
    },
    inputsSinceReset: (builder, name, inputs) => {
      const known = builder.state(`${name}.known`, f32(2));
      const correction = builder.state(`${name}.correction`, f32(2));
      const counted = builder.emit(biasCorrection, { known, correction }, { beta1, beta2 });
      return { ...inputs, correction: counted.correctionOut };
    },
    updatePair: (builder, pair, gradient, { lr, correction }, scale) => {
      const adam = { params: { beta1, beta2, eps }, correction };
      const lambda = decayOf(pair.right, weightDecay, decay);
      const rule = { lr, scale, momentum: null, adam };
      updatePair(builder, pair, gradient, { ...rule, weightDecay: lambda });
    },
    scalars: (step, learningRate) => ({
      lr: Float64Array.of(learningRate),
      correction: Float64Array.of(1 / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step)),
    }),
  };
}
