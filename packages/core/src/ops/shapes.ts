/** Shape arithmetic and the operand checks that the ops' shape rules share. */
import { GraphError } from '../errors.js';
import type { Value } from '../ir/graph.js';
import {
  DTYPE_BYTES,
  elements,
  sameType,
  typeText,
  type Shape,
  type TensorType,
} from '../ir/types.js';
import { expectShape } from './op.js';

/** The params of an op that has none. */
export type NoParams = Readonly<Record<string, never>>;

/** Extent of the last axis. */
export function lastOf(shape: Shape): number {
  return shape[shape.length - 1];
}

/** Number of rows when all axes but the last are folded into one. */
export function rowsOf(shape: Shape): number {
  return elements(shape.slice(0, -1));
}

/** x rounded up to a multiple of `step`, which need not be a power of two. */
export function roundUp(x: number, step: number): number {
  return Math.ceil(x / step) * step;
}

/** Rows are summed in this many chunks on any number of threads: CHUNKS of kernels/loop.h. */
const CHUNKS = 16;

/** Workspace of one sum over rows: a partial sum of every column for every chunk. */
export function columnSumBytes(cols: number): number {
  return CHUNKS * cols * DTYPE_BYTES.f32;
}

/**
 * Checks dtype and rank against a form such as `f32[B,N,D]`; `f32[...,D]` allows any leading axes.
 * The letters are only names, for the error. Every extent must be a positive integer.
 */
export function expectForm(at: string, operand: string, type: TensorType, form: string): void {
  const [dtype, inside] = form.slice(0, -1).split('[');
  const axes = inside === '' ? [] : inside.split(',');
  const rank = type.shape.length;
  const rankFits = axes[0] === '...' ? rank >= axes.length - 1 : rank === axes.length;
  const positive = type.shape.every((extent) => Number.isSafeInteger(extent) && extent >= 1);
  expectShape(
    type.dtype === dtype && rankFits && positive,
    at,
    `${operand} of form ${form}, extents at least 1`,
    type,
  );
}

/** Checks that an operand has exactly the type that the others imply. */
export function expectType(
  at: string,
  operand: string,
  type: TensorType,
  expected: TensorType,
): void {
  // The text takes longer than the check, of which a program has thousands.
  if (sameType(type, expected)) return;
  expectShape(false, at, `${operand} of type ${typeText(expected)}`, type);
}

/** Checks an integer param against `minimum`. */
export function expectInteger(at: string, param: string, value: number, minimum: number): void {
  expectShape(
    Number.isSafeInteger(value) && value >= minimum,
    at,
    `${param} to be an integer of at least ${String(minimum)}`,
    `${param} ${String(value)}`,
  );
}

/**
 * Outputs such as saved statistics have no derivative here: a loss that depends on one is refused,
 * because leaving the term out would give a wrong gradient without a word.
 */
export function refuseGradients(
  op: string,
  outputGrads: Readonly<Record<string, Value | undefined>>,
  saved: readonly string[],
): void {
  for (const name of saved) {
    const grad = outputGrads[name];
    if (!grad) continue;
    throw new GraphError({
      where: `gradient of ${op}`,
      expected: `a loss that does not depend on "${name}", which is saved for the backward pass`,
      got: `the gradient ${grad.name}`,
      todo: 'Compute the quantity from the other outputs',
    });
  }
}
