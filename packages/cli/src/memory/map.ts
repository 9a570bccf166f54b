/**
 * The memory map of a training step: which tensor occupies which bytes between which steps.
 *
 * Terms. A *tenant* is a tensor that owns memory, with its place (bytes from the start of the
 * arena) and its stay (steps, inclusive). The entries of training follow each other on one axis
 * of steps: `step`, or `micro` and then `apply`. No two tenants share a byte at the same step.
 */
import { backwardStart, residents, updateEntries } from '@thimble/core';
import type { Program, SlotRole } from '@thimble/core';

export interface Tenant {
  readonly name: string;
  readonly role: SlotRole;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
  /** Lives across steps. */
  readonly always: boolean;
}

export interface MemoryMap {
  /** Length of the axis. */
  readonly steps: number;
  /** Where the passes begin: `forward` at 0, `backward`, `apply`. */
  readonly phases: readonly { readonly name: string; readonly first: number }[];
  readonly tenants: readonly Tenant[];
}

/** The map of the entries that train; of `eval` when there are none. */
export function trainingTenants(program: Program): MemoryMap {
  const training = updateEntries(program).map(({ entry }) => entry);
  const entries = training.length > 0 ? training : program.entries;
  const tenants: Tenant[] = [];
  const phases: { name: string; first: number }[] = [];
  let steps = 0;
  for (const entry of entries) {
    for (const { slot, first, last } of residents(program, entry)) {
      const { name, role, offset, bytes, type } = slot;
      const stay = { first: steps + first, last: steps + last, always: false };
      tenants.push({ name, role, shape: type.shape, offset, bytes, ...stay });
    }
    phases.push({ name: entry.name === 'apply' ? 'apply' : 'forward', first: steps });
    const backward = backwardStart(entry);
    if (backward > 0) phases.push({ name: 'backward', first: steps + backward });
    steps += entry.steps.length;
  }
  for (const { name, role, offset, bytes, type, entry } of program.slots) {
    if (entry !== null) continue;
    const stay = { first: 0, last: steps - 1, always: true };
    tenants.push({ name, role, shape: type.shape, offset, bytes, ...stay });
  }
  return { steps, phases, tenants };
}
