/**
 * Invariants of a program's tables: every slot by itself, names, and the sizes of the regions. Each function
 * is one invariant and says what breaks it, or null.
 */
import { contentsFault } from '../ir/host.js';
import { bytesOf, DTYPE_BYTES, type TensorType } from '../ir/types.js';
import { opNamed } from '../ops/index.js';
import { ALIGNMENT, hostNames, isPersistent, rateInput, stepTypes } from '../program.js';
import { UPDATE_ENTRIES } from '../program.js';
import type { Entry, Program, Slot, Training } from '../program.js';

/** What entries on a cue may be given. */
const CUED_INPUTS: readonly string[] = ['images', 'labels', 'seed', 'count'];

/** The first fault of `items`. */
export function firstFault<T>(
  items: readonly T[],
  fault: (item: T, index: number) => string | null,
): string | null {
  for (let index = 0; index < items.length; index++) {
    const found = fault(items[index], index);
    if (found !== null) return found;
  }
  return null;
}

export function isSlot(program: Program, index: unknown): index is number {
  return isCount(index) && index < program.slots.length;
}

/** A slot has a type, the bytes of the type, and an aligned place in the region that it belongs to. */
export function placeFault(program: Program, slot: Slot): string | null {
  const { name, type, offset, bytes, root } = slot;
  if (!isType(type)) return `slot ${name} without a type`;
  if (bytes !== bytesOf(type)) return `slot ${name} of ${String(bytes)} bytes`;
  if (!isSlot(program, root)) return `slot ${name} with the root ${String(root)}`;
  const persistent = program.slots[root].entry === null;
  const from = persistent ? 0 : program.persistentBytes;
  const end = persistent ? program.persistentBytes : program.arenaBytes;
  const aligned = isCount(offset) && offset % ALIGNMENT === 0;
  const inside = aligned && offset >= from && offset + bytes <= end;
  return inside ? null : `slot ${name} outside of the arena`;
}

/** A slot's root has memory of its own, the very same, and is of the same entry or of none. */
export function rootFault(program: Program, slot: Slot, index: number): string | null {
  const root = program.slots[slot.root];
  const shared = root.root === slot.root && root.offset === slot.offset;
  const reachable = slot.entry === null ? slot.root === index : isOf(root, slot.entry);
  if (shared && root.bytes === slot.bytes && reachable) return null;
  return `slot ${slot.name} with the root ${root.name}`;
}

/**
 * A slot without an entry is a parameter, buffer, state, constant or table; only constants, and all, have a fill,
 * and only tables contents, of their type; only states, and all, say what they are of.
 */
export function roleFault(program: Program, slot: Slot): string | null {
  const { name, role, entry, fill, data, of } = slot;
  if (entry !== null && !program.entries.some((each) => each.name === entry)) {
    return `slot ${name} of the entry ${entry}, which is none`;
  }
  if (isPersistent(role) !== (entry === null)) {
    return `slot ${name} with the role ${role} ${entry === null ? 'without' : 'in'} an entry`;
  }
  const filled = role === 'constant' ? Number.isFinite(fill) : fill === undefined;
  if (!filled) return `slot ${name} with the fill ${String(fill)}`;
  if ((role === 'table') !== (data !== undefined)) {
    return `slot ${name} with the role ${role} ${data ? 'and' : 'without'} contents`;
  }
  const bad = data ? contentsFault(slot.type, data) : null;
  if (bad !== null) return `slot ${name} with ${bad}`;
  return (role === 'state') === (of !== undefined)
    ? null
    : `slot ${name} with the role ${role} of ${String(of)}`;
}

/** Entries have different names, and so have the slots of an entry, and all tensors of the host. */
export function nameFault(program: Program): string | null {
  const slots = [null, ...program.entries.map(({ name }) => name)].map((entry) =>
    program.slots.filter((slot) => slot.entry === entry).map(({ name }) => name),
  );
  const entries = program.entries.map(({ name }) => name);
  const host = hostNames(program).map(([name]) => name);
  const again = firstFault([entries, host, ...slots], repeated);
  return again === null ? null : `the name ${again} twice`;
}

/** A training program has the entries that its micro-batches need, for images of its batch. */
export function trainingFault(program: Program): string | null {
  const { training, entries, slots } = program;
  if (training === null) return null;
  const { batch, microBatches, slices } = training;
  if (batch % slices !== 0) return `${String(slices)} slices of a batch of ${String(batch)}`;
  const wanted = microBatches === 1 ? ['step'] : ['micro', 'apply'];
  const found = entries.map(({ name }) => name).filter((name) => UPDATE_ENTRIES.includes(name));
  if (found.join() !== wanted.join()) {
    return `${String(microBatches)} micro-batches with the entries ${found.join(' and ')}`;
  }
  const pass = entries.find(({ name }) => name === wanted[0]);
  const images = pass && Object.hasOwn(pass.inputs, 'images') ? slots[pass.inputs.images] : null;
  const [extent] = images ? images.type.shape : [batch];
  if (extent !== batch) return `a batch of ${String(batch)} for ${String(extent)} images`;
  return cueFault(training, entries) ?? rateFault(training, entries);
}

/** An entry has a cue if and only if it is none of an update nor `eval`, and reads what a session has. */
function cueFault({ cues }: Training, entries: readonly Entry[]): string | null {
  const known = new Set(entries.map(({ name }) => name));
  const stranger = Object.keys(cues).find((name) => !known.has(name));
  if (stranger !== undefined) return `a cue for the entry ${stranger}, which is none`;
  return firstFault(entries, ({ name, inputs }) => {
    const cued = !UPDATE_ENTRIES.includes(name) && name !== 'eval';
    if (Object.hasOwn(cues, name) !== cued) {
      return `the entry ${name} ${cued ? 'without' : 'with'} a cue`;
    }
    const other = cued ? Object.keys(inputs).find((key) => !CUED_INPUTS.includes(key)) : undefined;
    return other === undefined ? null : `the input ${other} of the entry ${name}`;
  });
}

/** The rate of a group is an input of the update. */
function rateFault({ rates }: Training, entries: readonly Entry[]): string | null {
  const update = entries.find(({ name }) => name === 'step' || name === 'apply');
  const missing = Object.keys(rates).find(
    (group) => !update || !Object.hasOwn(update.inputs, rateInput(group)),
  );
  return missing === undefined ? null : `a rate of the group ${missing}, which nothing reads`;
}

/** Persistent slots do not overlap, and end where the persistent region does. */
export function persistentFault(program: Program): string | null {
  const slots = program.slots.filter(({ entry }) => entry === null);
  const sorted = slots.toSorted((a, b) => a.offset - b.offset);
  const fault = firstFault(sorted.slice(1), (slot, index) => overlapOf(sorted[index], slot));
  if (fault !== null) return fault;
  const end = endOf(slots);
  if (program.persistentBytes === end) return null;
  return `${String(program.persistentBytes)} persistent bytes, where the slots end at ${String(end)}`;
}

/** The arena ends where the last slot does, and scratch is what the hungriest step needs. */
export function sizeFault(program: Program): string | null {
  const { slots, entries, arenaBytes, scratchBytes } = program;
  const end = endOf(slots);
  if (arenaBytes !== end) {
    return `an arena of ${String(arenaBytes)} bytes, where the slots end at ${String(end)}`;
  }
  const needs = entries.flatMap((entry) => scratchOf(program, entry));
  const need = aligned(needs.reduce((most, bytes) => Math.max(most, bytes), 0));
  if (scratchBytes === need) return null;
  return `${String(scratchBytes)} bytes of scratch, where the steps need ${String(need)}`;
}

/** What is wrong when both slots are live. */
export function overlapOf(first: Slot, second: Slot): string | null {
  const apart =
    first.offset + first.bytes <= second.offset || second.offset + second.bytes <= first.offset;
  return apart ? null : `slot ${second.name} over ${first.name}, which is needed at the same time`;
}

function scratchOf(program: Program, entry: Entry): readonly number[] {
  return entry.steps.map(
    (step) => opNamed(step.op).scratch?.(stepTypes(program, step), step.params) ?? 0,
  );
}

function endOf(slots: readonly Slot[]): number {
  return slots.reduce((end, { offset, bytes }) => Math.max(end, aligned(offset + bytes)), 0);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function isOf(slot: Slot, entry: string): boolean {
  return slot.entry === null || slot.entry === entry;
}

function repeated(names: readonly string[]): string | null {
  const seen = new Set<string>();
  return names.find((name) => seen.size === seen.add(name).size) ?? null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isType(type: TensorType): boolean {
  const { dtype, shape } = type;
  return (
    Object.hasOwn(DTYPE_BYTES, dtype) && shape.every((extent) => isCount(extent) && extent >= 1)
  );
}
