/**
 * report: where the bytes of a program go, by tensor and by moment.
 */
import { BudgetError } from '../errors.js';
import { opNamed } from '../ops/index.js';
import { entryFlops, plannedBytes, updateEntries } from '../program.js';
import type { Entry, Program, Slot } from '../program.js';

/** Memory and work of a program by part, in bytes and floating-point operations. */
export interface MemoryReport {
  /** Everything: arena and the scratch of all threads. */
  readonly peakBytes: number;
  readonly weightBytes: number;
  /** What the model keeps beside its weights: running statistics, masks. */
  readonly bufferBytes: number;
  /** What is known at compile time, element by element. */
  readonly tableBytes: number;
  /** Optimiser state and gradient accumulators. */
  readonly optimizerBytes: number;
  /** Factors of compressed activations, which live across steps. */
  readonly factorBytes: number;
  /** Tensors that are saved for the backward pass, all live together at the end of the forward pass. */
  readonly savedBytes: number;
  /** What is left: the widest moment's other tensors, scratch, and bytes lost to alignment or gaps. */
  readonly transientBytes: number;
  readonly scratchBytes: number;
  /** Floating-point operations of one update; see `stepFlops`. */
  readonly flopsPerStep: number;
}

/** A slot that owns memory, with the life of that memory. */
export interface Resident {
  readonly slot: Slot;
  readonly index: number;
  readonly first: number;
  readonly last: number;
}

/** Slots that own transient memory in `entry`; their lives include what is written over them in place. */
export function residents(program: Program, entry: Entry): readonly Resident[] {
  const lives = new Map<number, { first: number; last: number }>();
  for (const slot of program.slots) {
    if (slot.entry !== entry.name || program.slots[slot.root].entry === null) continue;
    const life = lives.get(slot.root);
    const first = Math.min(slot.first, life?.first ?? slot.first);
    const last = Math.max(slot.last, life?.last ?? slot.last);
    lives.set(slot.root, { first, last });
  }
  return [...lives].map(([index, life]) => ({ slot: program.slots[index], index, ...life }));
}

/** Transient bytes that are live at each step of `entry`. */
export function liveTimeline(program: Program, entry: Entry): readonly number[] {
  const live = new Array<number>(entry.steps.length).fill(0);
  for (const { slot, first, last } of residents(program, entry)) {
    for (let step = first; step <= last; step++) live[step] += slot.bytes;
  }
  return live;
}

/** The numbers that `thimble plan` prints. */
export function memoryReport(program: Program, threads: number): MemoryReport {
  const sum = (slots: readonly Slot[]) => slots.reduce((bytes, slot) => bytes + slot.bytes, 0);
  const ofRole = (role: Slot['role']) =>
    program.slots.filter((slot) => slot.role === role && slot.entry === null);
  const weightBytes = sum(ofRole('parameter'));
  const [bufferBytes, tableBytes] = [sum(ofRole('buffer')), sum(ofRole('table'))];
  const states = ofRole('state');
  const factorBytes = sum(states.filter(({ of }) => of === 'activation'));
  const optimizerBytes = sum(states) - factorBytes;
  const passes = updateEntries(program).map(({ entry }) => sum(savedSlots(program, entry)));
  const savedBytes = Math.max(0, ...passes);
  const peakBytes = plannedBytes(program, threads);
  const kept = weightBytes + bufferBytes + tableBytes + optimizerBytes + factorBytes;
  return {
    peakBytes,
    weightBytes,
    bufferBytes,
    tableBytes,
    optimizerBytes,
    factorBytes,
    savedBytes,
    transientBytes: peakBytes - kept - savedBytes,
    scratchBytes: threads * program.scratchBytes,
    flopsPerStep: stepFlops(program),
  };
}

/** Index of the first step that computes a gradient, with which a backward pass begins; −1: none does. */
export function backwardStart({ steps }: Entry): number {
  return steps.findIndex(({ op }) => opNamed(op).gradientOf !== undefined);
}

/** Floating-point operations of one update: every pass, and applying the sum of their gradients. */
export function stepFlops(program: Program): number {
  return updateEntries(program).reduce(
    (sum, { entry, times }) => sum + times * entryFlops(program, entry),
    0,
  );
}

/** Saved tensors of an entry, each memory once. */
export function savedSlots(program: Program, entry: Entry): readonly Slot[] {
  const seen = new Set<number>();
  return program.slots.filter((slot) => {
    const saved = slot.entry === entry.name && slot.role === 'saved';
    if (!saved || seen.has(slot.root) || program.slots[slot.root].entry === null) return false;
    seen.add(slot.root);
    return true;
  });
}

/** Throws BudgetError, naming the largest tensors at the widest moment, when the plan exceeds `budget`. */
export function checkBudget(program: Program, threads: number, budget: number): void {
  const peak = plannedBytes(program, threads);
  if (peak <= budget) return;
  throw new BudgetError({
    where: 'memory plan',
    expected: `at most ${megabytes(budget)}`,
    got: `${megabytes(peak)}; largest: ${largest(program, 5).join(', ')}`,
    todo:
      'Lower the batch, keep less (saved compact or smallest), train fewer parameters ' +
      '(method head or last-k), or raise the budget',
    options: ['batch', 'saved', 'method', 'budget'],
  });
}

function largest(program: Program, count: number): readonly string[] {
  const widest = program.entries
    .map((entry) => {
      const live = liveTimeline(program, entry);
      const bytes = Math.max(0, ...live);
      return { entry, bytes, step: live.indexOf(bytes) };
    })
    .sort((a, b) => b.bytes - a.bytes)[0];
  const alive = residents(program, widest.entry).filter(
    ({ first, last }) => first <= widest.step && widest.step <= last,
  );
  return [...alive.map(({ slot }) => slot), ...program.slots.filter((slot) => slot.entry === null)]
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, count)
    .map((slot) => `${slot.name} ${megabytes(slot.bytes)}`);
}

/** `12.3 MB` (10⁶ bytes). */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1)} MB`;
}
