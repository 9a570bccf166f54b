/**
 * Is this a program that executors can run without reaching beyond its memory? For programs from
 * outside: kernels trust every offset and extent, so all of them are recomputed from the types and
 * compared.
 */
import type { Operands } from './ir/graph.js';
import { bytesOf, DTYPE_BYTES, sameType, typeText, type TensorType } from './ir/types.js';
import { opNamed, type AnyOp } from './ops/index.js';
import { isOptional, operandName } from './ops/op.js';
import {
  ALIGNMENT,
  encodeEntry,
  stepTypes,
  type Entry,
  type Program,
  type Slot,
  type Step,
} from './program.js';

/** What is wrong with `program`, whose tables may hold anything; null when it can be run. */
export function programFault(program: Program): string | null {
  try {
    return (
      firstFault(program.slots, (slot) => slotFault(program, slot)) ??
      firstFault(program.entries, (entry) => entryFault(program, entry))
    );
  } catch (error) {
    // A shape rule that refuses a step, an unknown op, or a table of the wrong form.
    return error instanceof Error ? error.message : 'a malformed table';
  }
}

function firstFault<T>(items: readonly T[], fault: (item: T) => string | null): string | null {
  for (const item of items) {
    const found = fault(item);
    if (found !== null) return found;
  }
  return null;
}

function slotFault(program: Program, slot: Slot): string | null {
  const { name, type, offset, bytes, entry, root } = slot;
  if (!isType(type)) return `slot ${name} without a type`;
  if (bytes !== bytesOf(type)) return `slot ${name} of ${String(bytes)} bytes`;
  const end = entry === null ? program.persistentBytes : program.arenaBytes;
  const inside = isCount(offset) && offset % ALIGNMENT === 0 && offset + bytes <= end;
  if (!inside || program.persistentBytes > program.arenaBytes) {
    return `slot ${name} outside of the arena`;
  }
  return isSlot(program, root) ? null : `slot ${name} with the root ${String(root)}`;
}

function entryFault(program: Program, entry: Entry): string | null {
  const { name, steps, inputs, outputs } = entry;
  if (typeof name !== 'string') return 'an entry without a name';
  const host = [...Object.values(inputs), ...Object.values(outputs)];
  if (!host.every((slot) => isSlot(program, slot))) return `entry ${name} with an unknown slot`;
  const fault = firstFault(steps, (step) => stepFault(program, step));
  if (fault === null) encodeEntry(program, entry);
  return fault;
}

function stepFault(program: Program, step: Step): string | null {
  const op = opNamed(step.op);
  const at = `step ${step.name}`;
  const operands = (slots: Operands, declared: readonly string[]) =>
    declared.every((operand) => isOptional(operand) || operandName(operand) in slots) &&
    Object.keys(slots).every((key) => declared.some((operand) => operandName(operand) === key)) &&
    Object.values(slots).every((slot) => isSlot(program, slot));
  if (!operands(step.inputs, op.inputs)) return `${at} with other inputs than ${op.name} has`;
  if (!operands(step.outputs, op.outputs)) return `${at} with other outputs than ${op.name} has`;
  return typeFault(program, step, op) ?? memoryFault(program, step, op);
}

function typeFault(program: Program, step: Step, op: AnyOp): string | null {
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
  return null;
}

function memoryFault(program: Program, step: Step, op: AnyOp): string | null {
  const types = stepTypes(program, step);
  const workspace = op.workspace?.(types, step.params) ?? 0;
  const place = step.workspace;
  const room = place !== null && isSlot(program, place) ? program.slots[place].bytes : 0;
  if (room < workspace) return `step ${step.name} with a workspace of ${String(room)} bytes`;
  const scratch = op.scratch?.(types, step.params) ?? 0;
  if (program.scratchBytes >= scratch) return null;
  return `step ${step.name} with ${String(program.scratchBytes)} bytes of scratch`;
}

function isSlot(program: Program, index: unknown): boolean {
  return isCount(index) && Number(index) < program.slots.length;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isType(type: TensorType): boolean {
  const { dtype, shape } = type;
  return (
    Object.hasOwn(DTYPE_BYTES, dtype) && shape.every((extent) => isCount(extent) && extent >= 1)
  );
}
