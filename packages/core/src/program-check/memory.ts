/**
 * Invariants of an entry's memory over its steps. Each function is one invariant and says what breaks it, or
 * null.
 *
 * Legend. A slot's *memory* is that of its root. A step *writes over* memory that held something before: by
 * an update, which its op does in the operand's memory, or in place, where its op may. A view writes nothing.
 */
import { opNamed } from '../ops/index.js';
import type { Entry, Program, Slot, Step } from '../program.js';
import { firstFault, overlapOf } from './tables.js';

/** Inputs of an entry are slots of it under their own names; outputs are slots of it, or persistent. */
export function hostFault(program: Program, entry: Entry): string | null {
  const { name: at, inputs, outputs } = entry;
  const input = Object.entries(inputs).find(([key, index]) => {
    const { name, role, entry: of } = program.slots[index];
    return name !== key || role !== 'input' || of !== at;
  });
  if (input) return `entry ${at} with the input ${input[0]} in ${nameOf(program, input[1])}`;
  const output = Object.values(outputs).find((index) => {
    const { entry: of } = program.slots[index];
    return of !== null && of !== at;
  });
  return output === undefined ? null : `entry ${at} with the output ${nameOf(program, output)}`;
}

/**
 * Views and updates are in their operand's memory. Any other result has memory of its own, or that of an
 * operand that the op may write over and that is not persistent.
 */
export function sharingFault(program: Program, step: Step): string | null {
  const { view, updates = [], inPlace = [] } = opNamed(step.op);
  const forced = view ? [view, ...updates] : updates;
  return firstFault(Object.entries(step.outputs), ([key, index]) => {
    const root = rootOf(program, index);
    const isInto = ([output, input]: readonly [string, string]) =>
      output === key &&
      Object.hasOwn(step.inputs, input) &&
      rootOf(program, step.inputs[input]) === root;
    const transient = program.slots[root].entry !== null;
    const fits = forced.some(([output]) => output === key)
      ? forced.some(isInto)
      : root === index || (transient && inPlace.some(isInto));
    return fits ? null : `step ${step.name} with ${key} in the memory of ${nameOf(program, root)}`;
  });
}

/** What is written over is no constant or table, and the memory of one operand and of one result. */
export function overwriteFault(program: Program, step: Step): string | null {
  const inputs = Object.values(step.inputs).map((index) => rootOf(program, index));
  const outputs = Object.values(step.outputs).map((index) => rootOf(program, index));
  return firstFault(overwritten(program, step), (root) => {
    const alone = [inputs, outputs].every((all) => all.filter((one) => one === root).length === 1);
    const { role } = program.slots[root];
    if (alone && role !== 'constant' && role !== 'table') return null;
    return `step ${step.name} that writes over ${nameOf(program, root)}`;
  });
}

/**
 * A step reads what is there: persistent slots, inputs, and what was made before, as long as nothing was
 * written over it. What the host reads is there at the end.
 */
export function readFault(program: Program, entry: Entry): string | null {
  /** Slots that hold what they are named for, by their root. */
  const there = new Map<number, readonly number[]>();
  const add = (index: number) => {
    const root = rootOf(program, index);
    there.set(root, [...(there.get(root) ?? []), index]);
  };
  const isThere = (index: number) => there.get(rootOf(program, index))?.includes(index) ?? false;
  program.slots.forEach((slot, index) => {
    if (slot.entry === null) add(index);
  });
  Object.values(entry.inputs).forEach(add);
  for (const step of entry.steps) {
    const lost = Object.entries(step.inputs).find(([, index]) => !isThere(index));
    if (lost) return `step ${step.name} with ${lost[0]}, which is not there then`;
    for (const root of overwritten(program, step)) there.set(root, []);
    Object.values(step.outputs).forEach(add);
  }
  const lost = Object.entries(entry.outputs).find(([, index]) => !isThere(index));
  return lost ? `entry ${entry.name} with the output ${lost[0]}, which is not there then` : null;
}

/** Every slot of an entry is made once: as an input, as a step's result or as its workspace. */
export function madeFault(program: Program, entry: Entry): string | null {
  const made = new Set<number>(Object.values(entry.inputs));
  for (const step of entry.steps) {
    for (const index of madeBy(step)) {
      const { entry: of, role } = program.slots[index];
      const isWorkspace = role === 'workspace';
      const fits =
        of === entry.name && role !== 'input' && isWorkspace === (index === step.workspace);
      if (made.has(index) || !fits) return `step ${step.name} that makes ${nameOf(program, index)}`;
      made.add(index);
    }
  }
  return firstFault(program.slots, (slot, index) =>
    slot.entry !== entry.name || made.has(index) ? null : `slot ${slot.name}, which no step makes`,
  );
}

/** A slot lives from where it is made to its last reader, for the host to the end; a persistent one always. */
export function lifeFault(program: Program, entry: Entry): string | null {
  const { from, to } = livesOf(program, entry);
  return firstFault(program.slots, ({ name, entry: of, first, last }, index) => {
    if (of !== null && of !== entry.name) return null;
    if (of === null ? first === 0 && last === 0 : first === from[index] && last === to[index]) {
      return null;
    }
    return `slot ${name} from step ${String(first)} to ${String(last)}`;
  });
}

/** Slots that live at the same step are apart, but for those of one root. */
export function overlapFault(program: Program, entry: Entry): string | null {
  const waiting = [...owners(program, entry)].sort((a, b) => a.first - b.first);
  /** Those that live, by ascending offset, and the first step at which one of them does not. */
  let live: Owner[] = [];
  let end = Infinity;
  for (const owner of waiting) {
    if (owner.first > end) {
      live = live.filter(({ last }) => last >= owner.first);
      end = live.reduce((least, { last }) => Math.min(least, last), Infinity);
    }
    const at = placeFor(live, owner.slot.offset);
    const fault =
      (at > 0 ? overlapOf(live[at - 1].slot, owner.slot) : null) ??
      (at < live.length ? overlapOf(live[at].slot, owner.slot) : null);
    if (fault !== null) return fault;
    live.splice(at, 0, owner);
    end = Math.min(end, owner.last);
  }
  return null;
}

/** Where a slot at `offset` goes among those that live. */
function placeFor(live: readonly Owner[], offset: number): number {
  let [low, high] = [0, live.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (live[middle].slot.offset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Transient memory of an entry, from the first life in it to the last. */
interface Owner {
  readonly slot: Slot;
  first: number;
  last: number;
}

function owners(program: Program, entry: Entry): Iterable<Owner> {
  const result = new Map<number, Owner>();
  for (const { entry: of, root, first, last } of program.slots) {
    const slot = program.slots[root];
    if (of !== entry.name || slot.entry === null) continue;
    const owner = result.get(root) ?? { slot, first, last };
    owner.first = Math.min(owner.first, first);
    owner.last = Math.max(owner.last, last);
    result.set(root, owner);
  }
  return result.values();
}

/** First and last step of every slot that the entry makes, by its index. */
function livesOf(
  { slots }: Program,
  { steps, outputs }: Entry,
): Readonly<Record<'from' | 'to', Int32Array>> {
  const [from, to] = [new Int32Array(slots.length), new Int32Array(slots.length)];
  steps.forEach((step, at) => {
    for (const index of Object.values(step.inputs)) to[index] = at;
    for (const index of madeBy(step)) from[index] = to[index] = at;
  });
  for (const index of Object.values(outputs)) to[index] = Math.max(0, steps.length - 1);
  return { from, to };
}

function madeBy({ outputs, workspace }: Step): readonly number[] {
  return workspace === null ? Object.values(outputs) : [...Object.values(outputs), workspace];
}

/** Roots of the memory that a step writes over. */
function overwritten(program: Program, step: Step): readonly number[] {
  if (opNamed(step.op).view) return [];
  return Object.values(step.outputs).flatMap((index) => {
    const root = rootOf(program, index);
    return root === index ? [] : [root];
  });
}

function rootOf(program: Program, index: number): number {
  return program.slots[index].root;
}

function nameOf(program: Program, index: number): string {
  return program.slots[index].name;
}
