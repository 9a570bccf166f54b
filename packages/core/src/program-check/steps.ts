/**
 * Invariants of a step by itself: its op's operands, params, types and working memory. Each function is one
 * invariant and says what breaks it, or null.
 */
import type { Operands } from '../ir/graph.js';
import { sameType, typeText, type TensorType } from '../ir/types.js';
import { opNamed } from '../ops/index.js';
import { isOptional, operandName } from '../ops/op.js';
import { badParam } from '../ops/params.js';
import { stepTypes, type Program, type Step } from '../program.js';
import { isSlot } from './tables.js';

/** The operands are slots, those that the op declares, and not without a result. */
export function operandFault(program: Program, step: Step): string | null {
  const op = opNamed(step.op);
  const at = `step ${step.name}`;
  const fit = (slots: Operands, declared: readonly string[]) =>
    declared.every((name) => isOptional(name) || Object.hasOwn(slots, name)) &&
    Object.keys(slots).every((key) => declared.some((name) => operandName(name) === key)) &&
    Object.values(slots).every((slot) => isSlot(program, slot));
  if (!fit(step.inputs, op.inputs)) return `${at} with other inputs than ${op.name} has`;
  const some = Object.keys(step.outputs).length > 0;
  return some && fit(step.outputs, op.outputs)
    ? null
    : `${at} with other outputs than ${op.name} has`;
}

export function paramFault(_program: Program, step: Step): string | null {
  const bad = badParam(opNamed(step.op).params, step.params);
  return bad === null ? null : `step ${step.name} with a ${bad} that ${step.op} does not have`;
}

/** The outputs have the types that the shape rule gives; only those may be absent that nobody needs. */
export function typeFault(program: Program, step: Step): string | null {
  const op = opNamed(step.op);
  const types = stepTypes(program, { ...step, outputs: {} });
  const inferred: Readonly<Record<string, TensorType | undefined>> = op.infer(
    types,
    step.params,
    `step ${step.name}`,
  );
  for (const [key, index] of Object.entries(step.outputs)) {
    const { type } = program.slots[index];
    const expected = inferred[key];
    if (!expected || !sameType(expected, type)) {
      return `step ${step.name} with ${key} of type ${typeText(type)}`;
    }
  }
  const [left] = (op.updates ?? []).find(
    ([output]) => inferred[output] && !Object.hasOwn(step.outputs, output),
  ) ?? [null];
  return left === null ? null : `step ${step.name} without its output ${left}`;
}

/** A workspace is there exactly where the op needs one, of the bytes that it needs. */
export function workspaceFault(program: Program, step: Step): string | null {
  const { workspace: place, name } = step;
  const need = opNamed(step.op).workspace?.(stepTypes(program, step), step.params) ?? 0;
  if (place !== null && !isSlot(program, place)) return `step ${name} with an unknown workspace`;
  const room = place === null ? 0 : program.slots[place].bytes;
  return room === need ? null : `step ${name} with a workspace of ${String(room)} bytes`;
}
