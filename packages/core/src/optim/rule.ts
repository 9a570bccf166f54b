/**
 * The UpdateRule contract: how one parameter is updated in the place of the optimiser's own rule.
 *
 * A rule reads the gradient in the parts that the method's backward transform left (`PartsGradient`), or, as
 * the part `grad`, the dense one. Parts are linear in dL/dparameter, so that those of micro-batches add up,
 * each in an accumulator of its own; the sum of their squares is what clipping counts. A rule may keep states
 * and may call the optimiser on them: then the optimiser's moments have the size of these.
 */
import type { Parameter, Value } from '../ir/graph.js';
import type { GraphBuilder } from '../ops/builder.js';
import type { Optimizer, OptimizerInputs } from './optimizer.js';

/** How a parameter is updated, where that is not the optimiser’s own affair. */
export interface UpdateRule {
  /** Appends the update of the parameter; it runs as soon as the parts exist. */
  update(builder: GraphBuilder, given: GivenGradient): void;
}

/** What an update is made of. */
export interface GivenGradient {
  readonly parameter: Parameter;
  /** The parts of the gradient by their names; `grad` alone where it is dense. */
  readonly parts: Readonly<Record<string, Value>>;
  readonly optimizer: Optimizer;
  /** `lr` is that of the parameter's rate group. */
  readonly inputs: OptimizerInputs;
  /** Factor on the gradient (global-norm clipping), a scalar value; null: 1. */
  readonly scale: Value | null;
}

/** Parameters whose learning rate is that of the schedule times `factor`: the input `lr.<name>`. */
export interface RateGroup {
  readonly name: string;
  readonly factor: number;
}

/** What decides how parameters are updated, beside the optimiser. */
export interface UpdateRules {
  /** null: the optimiser's own rule. */
  rule(parameter: Parameter): UpdateRule | null;
  /** null: the rate of the schedule. */
  rate(parameter: Parameter): RateGroup | null;
}

/** Every parameter by the optimiser's own rule, at the rate of the schedule. */
export const PLAIN_RULES: UpdateRules = { rule: () => null, rate: () => null };

/** The name of a dense gradient among the parts. */
export const DENSE_PART = 'grad';
