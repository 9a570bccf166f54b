/** Stochastic gradient descent with momentum, Nesterov's form and weight decay. */
import { ConfigError } from '../errors.js';
import type { Value } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import type { GraphBuilder } from '../ops/builder.js';
import { sgd as sgdOp } from '../ops/sgd.js';
import { updatePair } from './low-rank.js';
import { decayOf, zero, type DecayScope, type Optimizer } from './optimizer.js';

export interface SgdSettings {
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
  readonly decay?: DecayScope;
}

/**
 * g ← grad + λp; v ← μv + g; g ← nesterov ? g + μv : v; p ← p − ηg.
 *
 * A weight in low-rank form follows the same rule on its tangent space: low-rank.ts.
 *
 * State: v, one tensor per parameter when μ > 0, else none. Throws ConfigError for μ outside [0, 1), λ < 0
 * or Nesterov without momentum.
 *
 * @example sgd({ momentum: 0.9, weightDecay: 1e-4 })
 * Reference: Sutskever et al., On the importance of initialization and momentum, ICML 2013, eq. 3–4;
 * torch.optim.SGD with dampening 0.
 */
export function sgd(settings: SgdSettings = {}): Optimizer {
  const { momentum = 0, nesterov = false, weightDecay = 0, decay = 'matrices' } = settings;
  check(momentum >= 0 && momentum < 1, 'momentum', 'a number in [0, 1)', momentum);
  check(weightDecay >= 0, 'weightDecay', 'a number ≥ 0', weightDecay);
  check(!nesterov || momentum > 0, 'nesterov', 'momentum > 0 with Nesterov', momentum);
  return {
    name: 'sgd',
    settings: { momentum, nesterov, weightDecay, decay },
    stateTensors: momentum > 0 ? 1 : 0,
    inputs: (builder) => ({ lr: builder.input('lr', f32()) }),
    update: (builder, param, grad, { lr }, scale) => {
      const velocity = momentum > 0 ? { velocity: velocityOf(builder, param) } : {};
      return builder.emit(
        sgdOp,
        { param, grad, lr, ...velocity, ...(scale ? { scale } : {}) },
        { momentum, nesterov, weightDecay: decayOf(param, weightDecay, decay) },
        `update.${param.name}`,
      ).paramOut;
    },
    decay: (param) => decayOf(param, weightDecay, decay) / (1 - momentum),
    reset: (builder, _name, tensors) => {
      if (momentum > 0)
        zero(
          builder,
          tensors.map((tensor) => velocityOf(builder, tensor)),
        );
    },
    inputsSinceReset: (_builder, _name, inputs) => inputs,
    updatePair: (builder, pair, gradient, { lr }, scale) => {
      const rule = { lr, scale, momentum, nesterov };
      const lambda = decayOf(pair.right, weightDecay, decay);
      updatePair(builder, pair, gradient, { ...rule, weightDecay: lambda });
    },
    scalars: (_step, learningRate) => ({ lr: Float64Array.of(learningRate) }),
  };
}

function velocityOf(builder: GraphBuilder, param: Value): Value {
  return builder.state(`${param.name}.velocity`, param.type);
}

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
