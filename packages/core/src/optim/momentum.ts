/**
 * The velocity of one tensor: v ← μv + g, kept as it is or in 8 bits.
 *
 *   32   state <name>.velocity f32 [...]
 *   8    states <name>.velocity i8 [...] and <name>.velocity.magnitude f32, one for 64 elements: 17/64 of
 *        the bytes (ops/quantised-velocity.ts)
 */
import type { Value } from '../ir/graph.js';
import type { GraphBuilder } from '../ops/builder.js';
import { quantisedTypes, quantisedVelocity } from '../ops/quantised-velocity.js';
import { velocity as velocityOp } from '../ops/velocity.js';
import { zero } from './states.js';

/** Bits of an element of a velocity. */
export type MomentumBits = 8 | 32;

export interface Momentum {
  /** μ, in (0, 1). */
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly bits: MomentumBits;
}

/** The velocity of `param` in float32. */
export function velocityOf(builder: GraphBuilder, param: Value): Value {
  return builder.state(`${param.name}.velocity`, param.type);
}

/** The direction of the step: v, with Nesterov g + μv; g = scale · grad + weightDecay · param. */
export function directionOf(
  builder: GraphBuilder,
  param: Value,
  grad: Value,
  { momentum, nesterov, bits }: Momentum,
  { scale, weightDecay }: { readonly scale: Value | null; readonly weightDecay: number },
): Value {
  const params = { momentum, nesterov, weightDecay };
  const rest = { grad, ...(weightDecay > 0 && { param }), ...(scale && { scale }) };
  if (bits === 8) {
    return builder.emit(quantisedVelocity, { ...quantised(builder, param), ...rest }, params).step;
  }
  const operands = { velocity: velocityOf(builder, param), ...rest };
  const { velocityOut, step = velocityOut } = builder.emit(velocityOp, operands, params);
  return step;
}

/** Sets the velocities of `tensors` to zero. */
export function resetVelocities(
  builder: GraphBuilder,
  tensors: readonly Value[],
  bits: MomentumBits,
): void {
  zero(
    builder,
    tensors.map((tensor) =>
      bits === 8 ? quantised(builder, tensor).magnitudes : velocityOf(builder, tensor),
    ),
  );
}

function quantised(builder: GraphBuilder, { name, type }: Value) {
  const { codes, magnitudes } = quantisedTypes(type);
  return {
    codes: builder.state(`${name}.velocity`, codes),
    magnitudes: builder.state(`${name}.velocity.magnitude`, magnitudes),
  };
}
