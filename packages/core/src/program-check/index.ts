/**
 * Is this a program that executors can run, and that computes what its steps say? Kernels trust every offset,
 * extent and life, and a table from outside may hold anything, so all of it is derived again from the steps
 * and compared: what the planner writes (plan/plan.ts) passes, and nothing else that another reading of the
 * steps would give another result for.
 *
 *   tables.ts   every slot by itself, names, sizes of the regions
 *   steps.ts    every step by itself: operands, params, types, workspace
 *   memory.ts   every entry over time: who shares memory with whom, lives, overlaps
 *
 * Not checked: the roles `output`, `saved`, `gradient` and `temporary`, which only reports read.
 */
import { encodeEntry, type Entry, type Program, type Step } from '../program.js';
import {
  hostFault,
  lifeFault,
  madeFault,
  overlapFault,
  overwriteFault,
  readFault,
  sharingFault,
} from './memory.js';
import { operandFault, paramFault, typeFault, workspaceFault } from './steps.js';
import {
  firstFault,
  isSlot,
  nameFault,
  persistentFault,
  placeFault,
  roleFault,
  rootFault,
  sizeFault,
  trainingFault,
} from './tables.js';

/** What is wrong with `program`, whose tables may hold anything; null when it can be run. */
export function programFault(program: Program): string | null {
  try {
    return (
      slotsFault(program) ??
      firstFault(program.entries, (entry) => entryFault(program, entry)) ??
      nameFault(program) ??
      trainingFault(program) ??
      sizeFault(program)
    );
  } catch (error) {
    // A shape rule that refuses a step, an unknown op, or a table of the wrong form.
    return error instanceof Error ? error.message : 'a malformed table';
  }
}

function slotsFault(program: Program): string | null {
  for (const fault of [placeFault, rootFault, roleFault]) {
    const found = firstFault(program.slots, (slot, index) => fault(program, slot, index));
    if (found !== null) return found;
  }
  return persistentFault(program);
}

function entryFault(program: Program, entry: Entry): string | null {
  const { name, steps, inputs, outputs } = entry;
  if (typeof name !== 'string') return 'an entry without a name';
  const host = [...Object.values(inputs), ...Object.values(outputs)];
  if (!host.every((slot) => isSlot(program, slot))) return `entry ${name} with an unknown slot`;
  const fault = firstFault(steps, (step) => stepFault(program, step));
  if (fault !== null) return fault;
  for (const check of [hostFault, madeFault, readFault, lifeFault, overlapFault]) {
    const found = check(program, entry);
    if (found !== null) return found;
  }
  encodeEntry(program, entry);
  return null;
}

function stepFault(program: Program, step: Step): string | null {
  const checks = [
    operandFault,
    paramFault,
    typeFault,
    workspaceFault,
    sharingFault,
    overwriteFault,
  ];
  return firstFault(checks, (check) => check(program, step));
}
