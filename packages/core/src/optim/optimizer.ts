/**
 * The Optimizer contract: an update rule as graph nodes with explicit state, plus the few scalars that the
 * host computes per step (learning rate, bias corrections).
 */
import type { Params, Value } from '../ir/graph.js';
import type { GraphBuilder } from '../ops/builder.js';
import type { LowRankPair, PairGradient } from './low-rank.js';

/** The optimiser's inputs in a graph, declared once and read by every update. */
export type OptimizerInputs = Readonly<Record<string, Value>>;

/** A rule of update as nodes with explicit states, and the scalars that a step is given. */
export interface Optimizer {
  readonly name: string;
  /** Hyper-parameters, as saved with a run. */
  readonly settings: Params;
  /** Tensors of the parameter's own size that live across steps: 0 for plain SGD, 2 for AdamW. */
  readonly stateTensors: number;
  /** Declares the scalar inputs (`lr`, …). */
  inputs(builder: GraphBuilder): OptimizerInputs;
  /**
   * Appends the update of `parameter`, a weight or any tensor that is trained in its place, by
   * `gradient`; returns its new value.
   *
   * @param scale factor on the gradient (global-norm clipping), a scalar value
   */
  update(
    builder: GraphBuilder,
    parameter: Value,
    gradient: Value,
    inputs: OptimizerInputs,
    scale: Value | null,
  ): Value;
  /**
   * λ of the decay p ← (1 − lr · λ) p that training takes from `parameter`, for a rule that does not
   * pass it through `update`; with momentum, what a velocity would sum up to.
   */
  decay(parameter: Value): number;
  /**
   * Appends nodes that set the states of `tensors`, which are reset together under `name`, to what
   * they are before the first step.
   */
  reset(builder: GraphBuilder, name: string, tensors: readonly Value[]): void;
  /** The inputs for `update` of tensors that are reset under `name`: steps count from there. */
  inputsSinceReset(builder: GraphBuilder, name: string, inputs: OptimizerInputs): OptimizerInputs;
  /** Appends the update of a weight in low-rank form. */
  updatePair(
    builder: GraphBuilder,
    pair: LowRankPair,
    gradient: PairGradient,
    inputs: OptimizerInputs,
    scale: Value | null,
  ): void;
  /** Contents of the scalar inputs for update number `step` (from 1). */
  scalars(step: number, learningRate: number): Readonly<Record<string, Float64Array>>;
}

/** Which parameters decay: all, or only those that the model marks (matrices, not biases and norms). */
export type DecayScope = 'all' | 'matrices';

/** The weight decay that applies to one parameter. */
export function decayOf(parameter: Value, weightDecay: number, scope: DecayScope): number {
  const marked = parameter.source.kind === 'parameter' && parameter.source.decay;
  return scope === 'all' || marked ? weightDecay : 0;
}
