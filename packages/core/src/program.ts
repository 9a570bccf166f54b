/**
 * The Program: a training step as data. Steps with operands placed in one arena, ready to be replayed by any
 * executor; serialisable, printable, no code.
 *
 * Terms. A *slot* is a tensor with its place: offset and bytes in the arena, and the steps between which it
 * is live; the memory of a slot may continue that of another one (a view, a result written in place), its
 * *root*. Slots without an entry are persistent (parameters, buffers, states, constants, tables). An *entry*
 * is a list of steps that runs as one call: `step` (or `micro` and `apply` when micro-batches are
 * accumulated), those that run on a cue, and `eval`; all share the persistent slots and reuse the same
 * transient region.
 *
 * Arena: [0, persistentBytes) persistent, [persistentBytes, arenaBytes) transient; every offset is a
 * multiple of ALIGNMENT. Each thread has `scratchBytes` more of its own behind the arena.
 *
 * Host names: a persistent slot by its own name (`head.weight`), an entry's inputs and outputs as
 * `<entry>.<name>` (`step.images`, `eval.logits`).
 */
import { ExecutorError } from './errors.js';
import type { Operands, Params, StateOf } from './ir/graph.js';
import { contentsText, type HostArray } from './ir/host.js';
import { printParams } from './ir/print.js';
import { typeText, type TensorType } from './ir/types.js';
import { opcodeOf, opNamed, type AnyOp } from './ops/index.js';
import { operandName } from './ops/op.js';

/** Bytes to which every slot is aligned; offsets travel to the kernels in this unit. */
export const ALIGNMENT = 64;

/** What a slot is for; parameters, buffers, states, constants and tables live across runs. */
export type SlotRole =
  | 'parameter'
  | 'buffer'
  | 'state'
  | 'constant'
  | 'table'
  | 'input'
  | 'output'
  /** Produced by the forward pass and read by the backward pass. */
  | 'saved'
  /** Read by an update as a parameter's gradient. */
  | 'gradient'
  | 'temporary'
  | 'workspace';

/** Slots of these roles live across runs; those of any other belong to an entry. */
export function isPersistent(role: SlotRole): boolean {
  return PERSISTENT.includes(role);
}

const PERSISTENT: readonly SlotRole[] = ['parameter', 'buffer', 'state', 'constant', 'table'];

/** A tensor of a program: its place in the arena, and between which steps it is live. */
export interface Slot {
  readonly name: string;
  readonly type: TensorType;
  readonly role: SlotRole;
  /** Bytes from the start of the arena. */
  readonly offset: number;
  readonly bytes: number;
  /** The entry it belongs to; null when it lives across runs. */
  readonly entry: string | null;
  /** Steps of its entry between which it is live, inclusive; both 0 for a persistent slot. */
  readonly first: number;
  readonly last: number;
  /** Index of the slot whose memory this is; its own index when it has memory of its own. */
  readonly root: number;
  /** What a constant holds. */
  readonly fill?: number;
  /** What a table holds. */
  readonly data?: HostArray;
  /** What a state is of. */
  readonly of?: StateOf;
}

/** One op application; operands are indices into `slots`. */
export interface Step {
  readonly name: string;
  readonly op: string;
  readonly params: Params;
  readonly inputs: Operands;
  readonly outputs: Operands;
  readonly workspace: number | null;
}

/** A list of steps that runs as one call. */
export interface Entry {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Host names (without the entry's prefix) → slot. */
  readonly inputs: Operands;
  readonly outputs: Operands;
}

/** What a training program was compiled for: nobody has to say it again, nor can anybody contradict it. */
export interface Training {
  /** The method as `parseMethod` reads it: `last-k=2`. */
  readonly method: string;
  /** In which form tensors are saved for the backward pass. */
  readonly saved: string;
  /** Images of one micro-batch: the whole batch where there is only one. */
  readonly batch: number;
  /** How many have their gradients averaged into one update; above one: entries `micro` and `apply`. */
  readonly microBatches: number;
  /** Groups of images in which a pass of `batch` goes through each block; a divisor of `batch`. */
  readonly slices: number;
  readonly optimizer: OptimizerRecord;
  /** Bound on the global gradient norm; null: none. */
  readonly clipNorm: number | null;
  /** When the entries run that are neither update nor evaluation, by their names. */
  readonly cues: Readonly<Record<string, Cue>>;
  /** Factor on the learning rate of each rate group, whose rate is the input `lr.<group>`. */
  readonly rates: Readonly<Record<string, number>>;
}

/**
 * When an entry of a method runs, always before the forward pass of an update:
 *
 *   start   once, before the first one
 *   steps   before update s, counted from 0, where s is a multiple of `every`
 *   epoch   before the first update of each epoch
 *
 * Such an entry may read the inputs `images` and `labels` of the first batch of that update, or of as many
 * of its first images as the entry takes (those of the first slice), and as i32
 * scalars `seed`, that of the run, and `count`, how often the entry has run before.
 */
export type Cue =
  | { readonly at: 'start' }
  | { readonly at: 'steps'; readonly every: number }
  | { readonly at: 'epoch' };

/** The name of the input that holds the learning rate of a group. */
export function rateInput(group: string): string {
  return `lr.${group}`;
}

/** The entries of an update: `step`, or `micro` and `apply`. */
export const UPDATE_ENTRIES: readonly string[] = ['step', 'micro', 'apply'];

/** The entries of an update in the order in which they run, with how often each does. */
export function updateEntries(
  program: Program,
): readonly { readonly entry: Entry; readonly times: number }[] {
  const { entries, training } = program;
  return entries
    .filter(({ name }) => UPDATE_ENTRIES.includes(name))
    .map((entry) => ({
      entry,
      times: entry.name === 'micro' ? (training?.microBatches ?? 1) : 1,
    }));
}

/** An optimiser by its name and its hyper-parameters. */
export interface OptimizerRecord {
  readonly name: string;
  readonly settings: Params;
}

/** What executors run: slots with their places in one arena, and entries that are lists of steps. */
export interface Program {
  readonly slots: readonly Slot[];
  readonly entries: readonly Entry[];
  /** null: the program was not made by `compile`, or without an optimiser. */
  readonly training: Training | null;
  readonly persistentBytes: number;
  readonly arenaBytes: number;
  /** Bytes that each thread needs for itself. */
  readonly scratchBytes: number;
}

/** All bytes that an executor with `threads` threads allocates for the program. */
export function plannedBytes(program: Program, threads: number): number {
  return program.arenaBytes + threads * program.scratchBytes;
}

/** Types of a step's operands, as an op's shape-dependent functions want them. */
export function stepTypes(program: Program, step: Step): Readonly<Record<string, TensorType>> {
  const types: Record<string, TensorType> = {};
  for (const [key, slot] of [...Object.entries(step.inputs), ...Object.entries(step.outputs)]) {
    types[key] = program.slots[slot].type;
  }
  return types;
}

/** Floating-point operations of one run of an entry. */
export function entryFlops(program: Program, entry: Entry): number {
  return entry.steps.reduce(
    (sum, step) => sum + opNamed(step.op).flops(stepTypes(program, step), step.params),
    0,
  );
}

/** The entry called `name`. Throws ExecutorError. */
export function entryNamed(program: Program, name: string): Entry {
  const entry = program.entries.find((candidate) => candidate.name === name);
  if (entry) return entry;
  throw new ExecutorError({
    where: 'program',
    expected: `one of the entries ${program.entries.map((candidate) => candidate.name).join(', ')}`,
    got: `"${name}"`,
    todo: 'Run an entry that the program was compiled with',
  });
}

/** Persistent slots that an entry writes. */
export function persistentWrites(program: Program, entry: Entry): ReadonlySet<number> {
  const roots = entry.steps.flatMap(({ outputs }) =>
    Object.values(outputs).map((index) => program.slots[index].root),
  );
  return new Set(roots.filter((root) => program.slots[root].entry === null));
}

/** Persistent slots that hold sums over micro-batches: those that `micro` adds to and `apply` clears. */
export function accumulators(program: Program): readonly number[] {
  const [micro, apply] = ['micro', 'apply'].map((name) => {
    const entry = program.entries.find((each) => each.name === name);
    return entry ? persistentWrites(program, entry) : new Set<number>();
  });
  return [...micro].filter((index) => apply.has(index));
}

/** Index of every slot that the host may write or read, by host name. */
export function hostSlots(program: Program): ReadonlyMap<string, number> {
  return new Map(hostNames(program));
}

/** Host names with their slots: persistent tensors, then inputs and outputs by entry. */
export function hostNames(program: Program): readonly (readonly [name: string, slot: number])[] {
  const persistent = program.slots.flatMap(({ name, entry }, index) =>
    entry === null ? [[name, index] as const] : [],
  );
  const ofEntries = program.entries.flatMap(({ name: entry, inputs, outputs }) =>
    [...Object.entries(inputs), ...Object.entries(outputs)].map(
      ([name, slot]) => [`${entry}.${name}`, slot] as const,
    ),
  );
  return [...persistent, ...ofEntries];
}

/**
 * An entry as the kernels read it: fixed-width int32 words `[opcode, length, arguments…]` for each step,
 * closed by opcode 0. Arguments are operand offsets in units of ALIGNMENT bytes (−1: absent), the
 * workspace's offset where the op has one, then scalars (float bits in an int32 word).
 */
export function encodeEntry(program: Program, entry: Entry): Int32Array {
  const words: number[] = [];
  const float = new DataView(new ArrayBuffer(4));
  for (const step of entry.steps) {
    const op = opNamed(step.op);
    if (op.view) continue;
    const args = encodeStep(program, step, op, float);
    words.push(opcodeOf(step.op), args.length, ...args);
  }
  words.push(0);
  return Int32Array.from(words);
}

/** @param float four bytes of room */
function encodeStep(program: Program, step: Step, op: AnyOp, float: DataView): readonly number[] {
  const offset = (slot: number | null | undefined) =>
    slot === null || slot === undefined ? -1 : program.slots[slot].offset / ALIGNMENT;
  const operands: Readonly<Record<string, number | undefined>> = step.inputs;
  const results: Readonly<Record<string, number | undefined>> = step.outputs;
  const words = op.inputs.map((declared) => offset(operands[operandName(declared)]));
  words.push(...op.outputs.map((declared) => offset(results[operandName(declared)])));
  if (op.workspace) words.push(offset(step.workspace));
  const values = op.encode(stepTypes(program, step), step.params);
  for (const [name, kind] of Object.entries(op.scalars)) {
    words.push(kind === 'int' ? values[name] : floatBits(values[name], float));
  }
  if (words.every((word) => word === (word | 0))) return words;
  throw new ExecutorError({
    where: `step ${step.name}`,
    expected: 'places and extents of 32 bits, and numbers that float32 can hold',
    got: `${op.name}(${words.join(', ')})`,
    todo: 'Use a smaller batch or a smaller model',
  });
}

/** The bits of a float32 as an int32; NaN for what is beyond float32. */
function floatBits(value: number, room: DataView): number {
  if (!Number.isFinite(Math.fround(value))) return NaN;
  room.setFloat32(0, value);
  return room.getInt32(0);
}

/** The stable text form: slots with places and lifetimes, then the steps of every entry. */
export function printProgram(program: Program): string {
  const lines = [
    `program arena ${String(program.arenaBytes)} bytes, persistent ${String(program.persistentBytes)}, ` +
      `scratch ${String(program.scratchBytes)} per thread`,
    ...(program.training ? [`training ${trainingText(program.training)}`] : []),
  ];
  program.slots.forEach((slot, index) => {
    const place = `@${String(slot.offset)}+${String(slot.bytes)}`;
    const life =
      slot.entry === null ? '' : ` ${slot.entry}:${String(slot.first)}-${String(slot.last)}`;
    const contents = slot.data ? ` = ${contentsText(slot.data)}` : '';
    lines.push(
      `  %${String(index)} ${slot.role} ${slot.name}: ${typeText(slot.type)} ${place}${life}${contents}`,
    );
  });
  for (const entry of program.entries) {
    lines.push(`entry ${entry.name}${cueText(program.training?.cues[entry.name])}`);
    entry.steps.forEach((step, index) => {
      const list = (operands: Operands) =>
        Object.entries(operands)
          .map(([key, slot]) => `${key}: %${String(slot)}`)
          .join(', ');
      lines.push(
        `  ${String(index)} ${list(step.outputs)} = ${step.op}(${list(step.inputs)})` +
          printParams(step.params),
      );
    });
  }
  return lines.join('\n') + '\n';
}

function trainingText(training: Training): string {
  const { method, saved, batch, microBatches, slices, optimizer, clipNorm, rates } = training;
  const clip = clipNorm === null ? 'none' : String(clipNorm);
  const cut = slices > 1 ? `slices ${String(slices)}, ` : '';
  const groups = Object.entries(rates).map(([name, factor]) => `, rate ${name} ${String(factor)}`);
  return (
    `method ${method}, saved ${saved}, batch ${String(batch)}, ` +
    `micro-batches ${String(microBatches)}, ${cut}clip ${clip}, ${optimizerText(optimizer)}` +
    groups.join('')
  );
}

/** When an entry runs, where its name does not say it. */
function cueText(cue: Cue | undefined): string {
  if (cue === undefined || cue.at === 'start') return '';
  return cue.at === 'epoch' ? ', every epoch' : `, every ${String(cue.every)} steps`;
}

/** `sgd {momentum: 0.9, weightDecay: 0}`. */
export function optimizerText({ name, settings }: OptimizerRecord): string {
  return name + printParams(settings);
}
