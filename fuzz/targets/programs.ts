/**
 * Programs in which something was changed. One that is read has to mean the same to every executor: it runs in
 * a process of its own, natively and as WebAssembly, with one thread and with three, and gives what the
 * reference gives. A crash or a hang there is a finding.
 */
import {
  elements,
  hostSlots,
  OPS,
  parseProgram,
  Random,
  referenceExecutor,
  serializeProgram,
  ThimbleError,
  type HostData,
  type Op,
  type Program,
  type TensorType,
} from '@thimble/core';
import { dataOf, mapRecord, typesOf } from '../../packages/core/test/ops-evaluate.js';
import type { Target } from '../campaign.js';
import { damagedProgram } from '../damaged-program.js';
import { damagedJson, pick } from '../mutate.js';
import { SINGLE, STEPS } from '../sample-programs.js';
import {
  ProgramRunner,
  type ProgramTask,
  type Outcome,
  type Results,
  type Run,
} from '../program-runner.js';

/** Bytes of an arena that is worth its time. */
const MOST_BYTES = 64e6;
/** One of so many runs as WebAssembly too. */
const WASM_EVERY = 64;
/** Ops whose results no two ways of computing agree on, but for contents that are chosen for them. */
const UNSTABLE: readonly string[] = ['cholesky', 'orthonormalise', 'symmetric_eigen'];

class Programs implements Target {
  readonly name = 'programs';
  readonly testCases = 60;
  /** Loading six executors takes a while on a busy machine; a hang is found by the runner. */
  readonly slowMs = 30_000;
  private readonly runner = new ProgramRunner();
  /** What has been run: most changes that pass change nothing that matters. */
  private readonly seen = new Set<string>();

  make(random: Random): string {
    const program = pick(random, random.below(8) === 0 ? STEPS : SINGLE);
    if (random.below(3) > 0) return text(damagedProgram(random, program));
    return damagedJson(random, JSON.parse(text(program)));
  }

  async check(input: string | Uint8Array): Promise<string | null> {
    const file = typeof input === 'string' ? new TextEncoder().encode(input) : input;
    const program = parseProgram(file);
    const meaning = meaningOf(program);
    if (this.seen.has(meaning) || program.arenaBytes > MOST_BYTES) return null;
    this.seen.add(meaning);
    const chosen = sampleContents(program);
    const wasm = this.seen.size % WASM_EVERY === 1;
    const task = { ...taskOf(program, chosen ?? {}), file, wasm };
    const expected = await referenceResults(program, task);
    const isUnstable = program.entries.some(({ steps }) =>
      steps.some(({ op }) => UNSTABLE.includes(op)),
    );
    return faultOf(await this.runner.run(task), isUnstable && !chosen ? null : expected);
  }
}

export const programs: Target = new Programs();

function text(program: Program): string {
  return new TextDecoder().decode(serializeProgram(program));
}

/** Everything that decides what a program computes. */
function meaningOf({ slots, entries, scratchBytes }: Program): string {
  const memory = slots.map(({ type, offset, entry, root, fill, data }) => [
    ...[type, offset, entry, root, fill],
    data ? Array.from(data) : null,
  ]);
  const all = entries.map(({ steps, inputs, outputs }) => [
    steps.map(({ op, params, inputs: from, outputs: to, workspace }) => [
      ...[op, params, from, to, workspace],
    ]),
    ...[inputs, outputs],
  ]);
  return JSON.stringify([memory, all, scratchBytes]);
}

/** The contents of the op's sample that the program is made of; null for any other program. */
function sampleContents({ slots, entries }: Program): Readonly<Record<string, HostData>> | null {
  const [entry, ...others] = entries;
  const op = Object.values<Op>(OPS).find(({ name }) => name === entry?.steps[0]?.op);
  if (!op || others.length > 0 || entry.steps.length !== 1) return null;
  const own = JSON.stringify([
    mapRecord(entry.inputs, (slot) => slots[slot].type),
    entry.steps[0].params,
  ]);
  const sample = op.samples.find((each) => JSON.stringify([typesOf(each), each.params]) === own);
  if (!sample) return null;
  const data = Object.entries(dataOf(op, sample));
  return Object.fromEntries(data.map(([key, each]) => [`${entry.name}.${key}`, each]));
}

/** What is written and read: all that is persistent, then every entry once, `micro` for each micro-batch. */
function taskOf(
  program: Program,
  chosen: ProgramTask['persistent'],
): Pick<ProgramTask, 'persistent' | 'runs'> {
  const slots = hostSlots(program);
  const contents = (name: string): [string, HostData] => {
    const { type } = program.slots[slots.get(name) ?? 0];
    return [name, chosen[name] ?? contentsOf(name, type)];
  };
  const persistent = [...slots].flatMap(([name, slot]) => {
    const { entry, role } = program.slots[slot];
    const isFixed = role === 'constant' || role === 'table';
    return entry === null && !isFixed ? [contents(name)] : [];
  });
  const microBatches = Math.min(program.training?.microBatches ?? 1, 3);
  const runs = program.entries.flatMap(({ name: entry, inputs, outputs }) => {
    const run: Run = {
      entry,
      inputs: Object.fromEntries(Object.keys(inputs).map((key) => contents(`${entry}.${key}`))),
      outputs: Object.keys(outputs).map((key) => `${entry}.${key}`),
    };
    return new Array<Run>(entry === 'micro' ? microBatches : 1).fill(run);
  });
  return { persistent: Object.fromEntries(persistent), runs };
}

/** The same for every executor: small numbers, and classes of three. */
function contentsOf(name: string, { dtype, shape }: TensorType): HostData {
  const random = Random.of(7, name);
  const count = elements(shape);
  if (dtype === 'i32') return Int32Array.from({ length: count }, () => random.below(3));
  if (dtype === 'i8') return Int8Array.from({ length: count }, () => random.below(255) - 127);
  return random.fillNormal(new Float32Array(count), 0.3);
}

/** What the reference gives, or the message with which it refuses. */
async function referenceResults(
  program: Program,
  task: Pick<ProgramTask, 'persistent' | 'runs'>,
): Promise<Results | string> {
  const executor = await referenceExecutor.load(program);
  const results: Record<string, readonly number[]> = {};
  try {
    for (const [name, data] of Object.entries(task.persistent)) executor.write(name, data);
    for (const [index, { entry, inputs, outputs }] of task.runs.entries()) {
      for (const [name, data] of Object.entries(inputs)) executor.write(name, data);
      await executor.run(entry);
      for (const name of outputs) {
        results[`${String(index)} ${name}`] = Array.from(await executor.read(name));
      }
    }
    return results;
  } catch (error) {
    if (error instanceof ThimbleError) return String(error);
    throw error;
  }
}

/** What is wrong with what became of a program; `expected` is null where any numbers will do. */
function faultOf({ answers, end }: Outcome, expected: Results | string | null): string | null {
  if (end !== null) return `a program that ${end}`;
  /** Of the first number of threads, by executor. */
  const first = new Map<string, string>();
  for (const answer of answers) {
    if (answer.kind === 'begun' || answer.kind === 'done') continue;
    const { name, threads } = answer.where;
    if (answer.kind === 'failed') {
      if (answer.typed && (expected === null || answer.message === expected)) continue;
      return `${name} says ${answer.message}`;
    }
    if (typeof expected === 'string') return `${name} runs where the reference says ${expected}`;
    const own = JSON.stringify(answer.results);
    const other = first.get(name) ?? own;
    first.set(name, other);
    if (own !== other) return `${name} gives other bits with ${String(threads)} threads`;
    const far = expected === null ? null : farFrom(answer.results, expected);
    if (far !== null) return `${name}, ${far}`;
  }
  return null;
}

/**
 * The first result that is another than expected, with room for float32 and for ties of quantised values. What
 * the reference itself cannot hold (not finite, or large for float32) says nothing.
 */
function farFrom(got: Results, expected: Results): string | null {
  for (const [name, values] of Object.entries(expected)) {
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (!values.every(Number.isFinite) || largest > 1e6) continue;
    const tolerance = 1.01 * Number(values.every(Number.isInteger)) + 1e-3 * (1 + largest);
    const at = values.findIndex(
      (value, index) => !(Math.abs(got[name][index] - value) <= tolerance),
    );
    if (at < 0) continue;
    return `${name} at ${String(at)}: expected ${String(values[at])}, got ${String(got[name][at])}`;
  }
  return null;
}
