/**
 * The op registry. To be listed is to be tested: every op here is checked against its reference on every
 * executor, and its gradient against central differences, from its own samples.
 */
import { UnknownNameError } from '../errors.js';
import { gelu } from './gelu.js';
import { geluGrad } from './gelu-grad.js';
import type { Op } from './op.js';

/** All ops, sorted by name; the position (from 1) is the opcode. */
export const OPS = {
  gelu,
  gelu_grad: geluGrad,
} as const;

export type OpName = keyof typeof OPS;

/** An op whose operand names are not known statically. */
export type AnyOp = Op;

const TABLE: Readonly<Record<string, AnyOp | undefined>> = OPS;

/** The op called `name`. Throws UnknownNameError. */
export function opNamed(name: string): AnyOp {
  const op = TABLE[name];
  if (op) return op;
  throw new UnknownNameError({
    where: 'op',
    expected: `one of ${Object.keys(OPS).join(', ')}`,
    got: `"${name}"`,
    todo: 'Add the op to ops/index.ts',
  });
}

/** Opcode of an op in a Program; 0 ends an entry. */
export function opcodeOf(name: string): number {
  return Object.keys(OPS).indexOf(opNamed(name).name) + 1;
}
