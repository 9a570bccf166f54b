/**
 * What an executor's memory holds, as far as the host has to know it. Entries reuse one transient region, so
 * a tensor of the host lasts until something is written over its bytes, and what that is follows from places:
 *
 *   input    holds what was written, until a run of its entry takes it or another write or run has its bytes
 *   output   holds the result of its entry's last run, until another write or run has its bytes
 *
 * Persistent tensors last. A parameter or buffer, or a state that an entry on a cue sets, has to be set before another
 * entry reads it. `micro` adds to sums that `apply` uses, after as many runs as the program has micro-batches: any
 * other number would give the update another scale.
 *
 * Nobody's contents are copied or looked at: a write or a run costs a few assignments.
 */
import { ExecutorError } from '../errors.js';
import { accumulators, persistentWrites } from '../program.js';
import type { Entry, Program, Slot } from '../program.js';

/** An input or output of an entry. */
interface Tensor {
  readonly name: string;
  readonly slot: Slot;
  /** Why it does not hold what its name says; null when it does. */
  lost: string | null;
}

/** What a run of an entry needs, and what it does to the tensors of the host. */
interface Run {
  readonly name: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Those of other entries with bytes that it writes. */
  readonly others: readonly Tensor[];
  /** Persistent slots that have to be set before. */
  readonly needs: readonly number[];
  readonly sets: ReadonlySet<number>;
}

export class Contents {
  private readonly program: Program;
  private readonly tensors: ReadonlyMap<string, Tensor>;
  private readonly runs: readonly Run[];
  /** Tensors with bytes of a slot, by its index. */
  private readonly over = new Map<number, readonly Tensor[]>();
  /** Persistent slots that have to be set and are not. */
  private readonly unset: Set<number>;
  private readonly sums: ReadonlySet<number>;
  /** Micro-batches that are in the sums. */
  private passes = 0;

  constructor(program: Program) {
    this.program = program;
    this.tensors = tensorsOf(program);
    this.unset = unsetOf(program);
    this.runs = program.entries.map((entry) => runOf(program, entry, this.tensors, this.unset));
    this.sums = new Set(accumulators(program));
  }

  /** Notes that the host has written the tensor `name` in slot `index`. */
  wrote(name: string, index: number): void {
    for (const tensor of this.sharing(index)) tensor.lost = `written over by writing ${name}`;
    const own = this.tensors.get(name);
    if (own) own.lost = null;
    this.unset.delete(index);
    if (this.sums.has(index)) this.passes = 0;
  }

  /** Notes that the sums are of so many micro-batches. Throws ExecutorError where that is a whole update. */
  sumsHold(microBatches: number): void {
    const all = this.program.training?.microBatches ?? 1;
    if (microBatches >= all) {
      throw new ExecutorError({
        where: 'sums of gradients',
        expected: `those of less than the ${String(all)} micro-batches of an update`,
        got: String(microBatches),
        todo: 'Write the sums of an update that is not complete',
      });
    }
    this.passes = microBatches;
  }

  /** Notes that entry `index` has run. */
  ran(index: number): void {
    const { name, inputs, outputs, others, sets } = this.runs[index];
    for (const tensor of others) tensor.lost = `written over by the run of ${name}`;
    for (const tensor of inputs) tensor.lost = `taken by the last run of ${name}`;
    for (const tensor of outputs) tensor.lost = null;
    if (this.unset.size > 0) for (const slot of sets) this.unset.delete(slot);
    if (name === 'micro') this.passes++;
    if (name === 'apply') this.passes = 0;
  }

  /** Throws ExecutorError unless entry `index` can run; `what` is the call, as in `run of step`. */
  expectReady(what: string, index: number): void {
    const { name, inputs, needs } = this.runs[index];
    const missing = inputs.find(({ lost }) => lost !== null);
    if (missing) throw notWritten(what, missing);
    if (this.unset.size > 0) this.expectSet(what, needs);
    this.expectPasses(what, name);
  }

  /** Throws ExecutorError unless the tensor `name` holds what its name says. */
  expectHeld(name: string): void {
    const tensor = this.tensors.get(name);
    if (!tensor || tensor.lost === null) return;
    throw new ExecutorError({
      where: `read of ${name}`,
      expected: 'a tensor that is still in memory',
      got: `one that was ${tensor.lost}`,
      todo: 'Read results after the run that makes them, before anything else is written or run',
    });
  }

  private expectSet(what: string, needs: readonly number[]): void {
    const missing = needs.filter((slot) => this.unset.has(slot));
    if (missing.length === 0) return;
    const names = missing.map((slot) => this.program.slots[slot].name);
    const { role } = this.program.slots[missing[0]];
    const isState = role === 'state';
    throw new ExecutorError({
      where: what,
      expected: isState
        ? `the states that ${this.cuedNames()} sets`
        : `every ${role} to be written before`,
      got: `${String(names.length)} never set: ${names.slice(0, 5).join(', ')}`,
      todo: isState
        ? `Run ${this.cuedNames()} on the first batch, or write the states`
        : 'Load the weights first',
    });
  }

  private cuedNames(): string {
    return Object.keys(this.program.training?.cues ?? {}).join(' or ');
  }

  private expectPasses(what: string, entry: string): void {
    const { training } = this.program;
    if (training === null || (entry !== 'micro' && entry !== 'apply')) return;
    const { microBatches } = training;
    const { passes } = this;
    if (entry === 'micro' ? passes < microBatches : passes === microBatches) return;
    throw new ExecutorError({
      where: what,
      expected: `${String(microBatches)} runs of micro before each of apply, as compiled`,
      got: entry === 'micro' ? 'another one' : String(passes),
      todo: 'Run micro once for each micro-batch, then apply; writing the sums begins them anew',
    });
  }

  private sharing(index: number): readonly Tensor[] {
    const known = this.over.get(index);
    if (known) return known;
    const { offset, bytes } = this.program.slots[index];
    const span = { from: offset, to: offset + bytes };
    const found = [...this.tensors.values()].filter(({ slot }) => meets(span, slot));
    this.over.set(index, found);
    return found;
  }
}

function notWritten(what: string, { name, lost }: Tensor): ExecutorError {
  return new ExecutorError({
    where: what,
    expected: `${name} to be written before the run`,
    got: `an input that was ${String(lost)}`,
    todo: 'Write every input of an entry before each of its runs, and nothing else in between',
  });
}

function tensorsOf(program: Program): ReadonlyMap<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const { name: entry, inputs, outputs } of program.entries) {
    const add = (kind: Entry['inputs'], lost: string) => {
      for (const [key, index] of Object.entries(kind)) {
        const name = `${entry}.${key}`;
        tensors.set(name, { name, slot: program.slots[index], lost });
      }
    };
    add(inputs, 'never written');
    add(outputs, 'never computed');
  }
  return tensors;
}

/** Parameters, buffers, and states that entries on a cue set. */
function unsetOf(program: Program): Set<number> {
  const cued = program.entries.filter(({ name }) => isCued(program, name));
  const unset = new Set(cued.flatMap((entry) => [...persistentWrites(program, entry)]));
  program.slots.forEach(({ role }, index) => {
    if (role === 'parameter' || role === 'buffer') unset.add(index);
  });
  return unset;
}

function runOf(
  program: Program,
  entry: Entry,
  tensors: ReadonlyMap<string, Tensor>,
  unset: ReadonlySet<number>,
): Run {
  const { name, steps } = entry;
  const named = (operands: Entry['inputs']) =>
    Object.keys(operands).flatMap((key) => tensors.get(`${name}.${key}`) ?? []);
  const [inputs, outputs] = [named(entry.inputs), named(entry.outputs)];
  const spans = writtenSpans(program, entry);
  const others = [...tensors.values()].filter(
    (tensor) =>
      !inputs.includes(tensor) &&
      !outputs.includes(tensor) &&
      spans.some((span) => meets(span, tensor.slot)),
  );
  const sets = persistentWrites(program, entry);
  const read = new Set(
    steps.flatMap((step) => Object.values(step.inputs).map((index) => program.slots[index].root)),
  );
  // What an entry on a cue sets it does not need, though its ops have the old value as an operand.
  const cued = isCued(program, name);
  const needs = [...read].filter((slot) => unset.has(slot) && !(cued && sets.has(slot)));
  return { name, inputs, outputs, others, needs, sets };
}

function isCued({ training }: Program, entry: string): boolean {
  return training !== null && Object.hasOwn(training.cues, entry);
}

/** Bytes of the arena, [from, to). */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** What the steps of an entry write: results and workspaces, joined where they meet. */
function writtenSpans(program: Program, { name, inputs }: Entry): readonly Span[] {
  const given = new Set(Object.values(inputs));
  const written = program.slots.filter((slot, index) => slot.entry === name && !given.has(index));
  const spans: { from: number; to: number }[] = [];
  for (const { offset, bytes } of written.sort((a, b) => a.offset - b.offset)) {
    const last = spans.at(-1);
    if (last && offset <= last.to) last.to = Math.max(last.to, offset + bytes);
    else spans.push({ from: offset, to: offset + bytes });
  }
  return spans;
}

function meets({ from, to }: Span, { offset, bytes }: Slot): boolean {
  return offset < to && offset + bytes > from;
}
