/** Stochastic gradient descent with momentum, Nesterov's form and weight decay. */
import { ConfigError } from '../errors.js';
import { f32 } from '../ir/types.js';
import { sgd as sgdOp } from '../ops/sgd.js';
import { updatePair } from './low-rank.js';
import { directionOf, resetVelocities, velocityOf, type MomentumBits } from './momentum.js';
import { decayOf, type DecayScope, type Optimizer } from './optimizer.js';

/** Settings of `sgd`; all are 0 or off by default. */
export interface SgdSettings {
  readonly momentum?: number;
  /** Of each element of a velocity: 32 (default), or 8, which takes 17/64 of the bytes. */
  readonly momentumBits?: MomentumBits;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
  readonly decay?: DecayScope;
}

/**
 * g ← grad + λp; v ← μv + g; g ← nesterov ? g + μv : v; p ← p − ηg.
 *
 * A weight in low-rank form follows the same rule on its tangent space: low-rank.ts.
 *
 * State: v, one tensor per parameter when μ > 0, else none; with 8 bits see momentum.ts. Throws ConfigError
 * for μ outside [0, 1), λ < 0, Nesterov or 8 bits without momentum, and bits that are neither 8 nor 32.
 *
 * @example sgd({ momentum: 0.9, weightDecay: 1e-4 })
 * Reference: Sutskever et al., On the importance of initialization and momentum, ICML 2013, eq. 3–4;
 * torch.optim.SGD with dampening 0.
 */
export function sgd(settings: SgdSettings = {}): Optimizer {
  const { momentum = 0, nesterov = false, weightDecay = 0, decay = 'matrices' } = settings;
  const { momentumBits: bits = 32 } = settings;
  check(momentum >= 0 && momentum < 1, 'momentum', 'a number in [0, 1)', momentum);
  check(weightDecay >= 0, 'weightDecay', 'a number ≥ 0', weightDecay);
  check(!nesterov || momentum > 0, 'nesterov', 'momentum > 0 with Nesterov', momentum);
  check(bits === 8 || bits === 32, 'momentumBits', '8 or 32', bits);
  check(bits === 32 || momentum > 0, 'momentumBits', 'momentum > 0 with 8 bits', momentum);
  const kept = { momentum, nesterov, bits };
  return {
    name: 'sgd',
    settings: {
      ...{ momentum, nesterov, weightDecay, decay },
      ...(bits === 8 && { momentumBits: bits }),
    },
    stateTensors: momentum > 0 ? 1 : 0,
    inputs: (builder) => ({ lr: builder.input('lr', f32()) }),
    update: (builder, param, grad, { lr }, scale) => {
      const lambda = decayOf(param, weightDecay, decay);
      if (bits === 8) {
        return builder.scope(`update.${param.name}`, () => {
          const rule = { scale, weightDecay: lambda };
          const step = directionOf(builder, param, grad, kept, rule);
          return builder.emit(sgdOp, { param, grad: step, lr }, PLAIN).paramOut;
        });
      }
      const velocity = momentum > 0 ? { velocity: velocityOf(builder, param) } : {};
      return builder.emit(
        sgdOp,
        { param, grad, lr, ...velocity, ...(scale ? { scale } : {}) },
        { momentum, nesterov, weightDecay: lambda },
        `update.${param.name}`,
      ).paramOut;
    },
    decay: (param) => decayOf(param, weightDecay, decay) / (1 - momentum),
    reset: (builder, _name, tensors) => {
      if (momentum > 0) resetVelocities(builder, tensors, bits);
    },
    inputsSinceReset: (_builder, _name, inputs) => inputs,
    updatePair: (builder, pair, gradient, { lr }, scale) => {
      const rule = { lr, scale, momentum: momentum > 0 ? kept : null };
      const lambda = decayOf(pair.right, weightDecay, decay);
      updatePair(builder, pair, gradient, { ...rule, weightDecay: lambda });
    },
    scalars: (_step, learningRate) => ({ lr: Float64Array.of(learningRate) }),
  };
}

/** p ← p − ηg: what is left to do once the direction is known. */
const PLAIN = { momentum: 0, nesterov: false, weightDecay: 0 } as const;

/** Throws ConfigError unless `condition` holds and `got` is finite; shared by the optimisers. */
export function check(condition: boolean, option: string, expected: string, got: number): void {
  if (condition && Number.isFinite(got)) return;
  throw new ConfigError({
    where: `optimizer ${option}`,
    expected,
    got: String(got),
    todo: 'Change the option',
  });
}
