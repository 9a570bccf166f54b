/**
 * Where everything lies in the WebAssembly memory, decided once when a program is loaded:
 *
 *   [module data][barrier][contexts][stacks][words of every step][scratch of every thread][arena]
 *
 * Every part begins on a multiple of 64 bytes. The memory never grows. What comes before the
 * scratch is the executor's own (a few hundred KiB); scratch and arena are the planned bytes.
 */
import { ExecutorError } from '../../errors.js';
import { ALIGNMENT, encodeEntry, type Program } from '../../program.js';

const PAGE_BYTES = 65536;
/** Memory that WebAssembly can address with 32 bits. */
const MAX_PAGES = 65536;
/** Below this lie the kernels' constants; scripts/build/wasm.ts checks that they fit. */
const MODULE_BYTES = PAGE_BYTES;
const STACK_BYTES = 65536;
/** sizeof(Context) and sizeof(Barrier) in kernels/kernel.h, each on cache lines of its own. */
const CONTEXT_BYTES = 64;
const BARRIER_BYTES = 320;

/** Addresses in bytes. */
export interface Layout {
  readonly pages: number;
  readonly barrier: number;
  /** Per thread: */
  readonly contexts: readonly number[];
  readonly stackTops: readonly number[];
  readonly scratches: readonly number[];
  readonly arena: number;
  /** The encoded steps of each entry, in the program's order. */
  readonly entries: readonly EncodedEntry[];
  /** Room for one step of any entry, for profiling. */
  readonly singleStep: number;
}

export interface EncodedEntry {
  readonly name: string;
  readonly address: number;
  readonly words: Int32Array;
}

/** Places `program` for `threads` threads. Throws ExecutorError when it exceeds 4 GiB. */
export function layOut(program: Program, threads: number): Layout {
  let end = MODULE_BYTES;
  const place = (bytes: number): number => {
    const address = end;
    end += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    return address;
  };
  const each = (bytes: number) => Array.from({ length: threads }, () => place(bytes));
  const barrier = place(BARRIER_BYTES);
  const contexts = each(CONTEXT_BYTES);
  const stackTops = each(STACK_BYTES).map((bottom) => bottom + STACK_BYTES);
  const entries = program.entries.map((entry) => {
    const words = encodeEntry(program, entry);
    return { name: entry.name, words, address: place(words.byteLength) };
  });
  const singleStep = place(Math.max(0, ...entries.map((entry) => entry.words.byteLength)));
  const scratches = each(program.scratchBytes);
  const arena = place(program.arenaBytes);
  const pages = Math.ceil(end / PAGE_BYTES);
  if (pages > MAX_PAGES) {
    throw new ExecutorError({
      where: 'executor wasm',
      expected: 'a program of at most 4 GiB, which is what WebAssembly can address',
      got: `${String(end)} bytes, of which ${String(program.arenaBytes)} are arena`,
      todo: 'Use a smaller batch or model, or the native executor',
    });
  }
  return { pages, barrier, contexts, stackTops, scratches, arena, entries, singleStep };
}

/** The words of each step of an encoded entry alone, closed by opcode 0. */
export function splitSteps(words: Int32Array): readonly Int32Array[] {
  const steps: Int32Array[] = [];
  for (let at = 0; words[at] !== 0;) {
    const next = at + 2 + words[at + 1];
    steps.push(Int32Array.of(...words.subarray(at, next), 0));
    at = next;
  }
  return steps;
}
