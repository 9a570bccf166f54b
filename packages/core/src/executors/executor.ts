/**
 * The Executor contract: `load(program) · write · run · read · dispose`.
 *
 * An executor owns one block of memory (arena and per-thread scratch) that it allocates in `load` and never
 * grows. Persistent slots start at zero, constants and tables with what they hold. `run` is asynchronous and never blocks the
 * event loop; one run at a time. Results are bit-identical for any number of threads.
 *
 * `load` takes a program that can be run (program-check/) and nothing else. The inputs of an entry are written
 * before each of its runs, and results are read before anything else is written or run, since entries reuse
 * memory; what is not there is refused, by the places that the program gives (contents.ts).
 */
import { ExecutorError } from '../errors.js';
import { hostArray, type HostArray } from '../ir/host.js';
import { elements, typeText, type DType, type HostData } from '../ir/types.js';
import { hostSlots, type Program, type Slot } from '../program.js';

export type { HostData } from '../ir/types.js';

/** How a program is loaded. */
export interface LoadOptions {
  /** Worker threads; default 1. Executors without threads ignore it. */
  readonly threads?: number;
}

/** A program in memory: written, run and read by the names of its slots and entries. */
export interface Executor {
  readonly name: string;
  /** Which variant runs: `avx512`, `simd128`, … */
  readonly detail: string;
  readonly threads: number;
  readonly program: Program;
  /** Bytes really allocated for arena and scratch; equals `plannedBytes(program, threads)`. */
  readonly arenaBytes: number;
  /** Copies `data` into the tensor called `name`. Throws ExecutorError for another length or type. */
  write(name: string, data: HostData): void;
  /**
   * Says that the sums of gradients, which were written, are those of so many micro-batches of an update: `apply`
   * waits for the others. Throws ExecutorError for as many as the program has, or more.
   */
  sumsHold(microBatches: number): void;
  /**
   * Runs an entry once. Rejects with ExecutorError when another run is under way, and when an input, a
   * parameter, a buffer or a state that an entry on a cue sets is not there. A run that fails ends the executor.
   */
  run(entry: string): Promise<void>;
  /** A copy of the tensor called `name`. Rejects with ExecutorError when it is there no more. */
  read(name: string): Promise<HostData>;
  /** Milliseconds of each step of one run; absent where the executor cannot tell. */
  profile?(entry: string): Promise<readonly number[]>;
  /** Frees memory and threads; the executor cannot be used afterwards. */
  dispose(): Promise<void>;
}

/** An executor that can be loaded: one line in core/test/executors.ts and in the command's list. */
export interface ExecutorKind {
  readonly name: string;
  /** Why it cannot run here, in one sentence; null when it can. */
  unavailable(): Promise<string | null>;
  /** Allocates what the program plans for. Throws ExecutorError for one that cannot run here. */
  load(program: Program, options?: LoadOptions): Promise<Executor>;
  /** Measures what the machine can do with the executor's instructions and threads; absent where
   * there are none. */
  peaks?(options?: LoadOptions): Promise<PeakMeter>;
}

/** Measures a machine's limits; every call is one measurement of some 20 ms. */
export interface PeakMeter {
  readonly threads: number;
  /** Floating-point operations per second of all threads; a multiply-add counts two. */
  flops(): Promise<number>;
  /** Bytes per second, read and written, when `bytes` of memory are half source and half copy. */
  copy(bytes: number): Promise<number>;
  /** Frees memory and threads. */
  dispose(): Promise<void>;
}

/** Host names → slots, with the checks that every executor's `write` and `read` share. */
export class HostTable {
  private readonly slots: ReadonlyMap<string, number>;
  private readonly program: Program;

  constructor(program: Program) {
    this.program = program;
    this.slots = hostSlots(program);
  }

  /** Index of the slot called `name`. Throws ExecutorError. */
  index(name: string): number {
    const index = this.slots.get(name);
    if (index !== undefined) return index;
    throw new ExecutorError({
      where: `tensor ${name}`,
      expected: 'a persistent tensor or an input or output of an entry',
      got: 'a name that the program does not have',
      todo: `Use one of: ${[...this.slots.keys()].slice(-12).join(', ')}, …`,
    });
  }

  /** The same, after checking that `data` fits the slot. */
  indexFor(name: string, data: HostData): number {
    const index = this.index(name);
    const { type } = this.program.slots[index];
    const dtype = dtypeOf(data);
    if (data.length === elements(type.shape) && dtype === type.dtype) return index;
    throw new ExecutorError({
      where: `tensor ${name}`,
      expected: `${typeText(type)}, ${String(elements(type.shape))} elements`,
      got: `${String(data.length)} elements of ${dtype}`,
      todo: 'Pass the whole tensor, row-major',
    });
  }
}

/** What a slot holds when its program is loaded; null: zeros. */
export function loadedContents({ type, fill = 0, data }: Slot): HostArray | null {
  if (data) return data;
  return fill === 0 ? null : hostArray(type).fill(fill);
}

/** `data` as an arena holds it: reals rounded to float32. */
export function hostWords(data: HostData): Exclude<HostData, Float64Array> {
  return data instanceof Float64Array ? Float32Array.from(data) : data;
}

function dtypeOf(data: HostData): DType {
  if (data instanceof Int32Array) return 'i32';
  return data instanceof Int8Array ? 'i8' : 'f32';
}

/** `threads` if it is a whole number from 1 to `most`. Throws ExecutorError. */
export function checkedThreads(executor: string, threads: number, most: number): number {
  if (Number.isInteger(threads) && threads >= 1 && threads <= most) return threads;
  throw new ExecutorError({
    where: `executor ${executor}, option threads`,
    expected: `a whole number from 1 to ${String(most)}`,
    got: String(threads),
    todo: 'Use the number of cores',
  });
}
