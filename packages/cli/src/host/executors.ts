/** Which executor runs: by name, or the fastest that this machine has. */
import {
  BudgetError,
  ExecutorError,
  lookUp,
  plannedBytes,
  referenceExecutor,
  wasmExecutor,
  type ExecutorKind,
} from '@thimble/core';
import { native } from '@thimble/native';
import { availableParallelism, totalmem } from 'node:os';
import { significant } from '../terminal/format.js';

/** `auto` is the first of these that can run here. */
const KINDS = { native, wasm: wasmExecutor, reference: referenceExecutor } as const;

export const EXECUTOR_NAMES = ['auto', ...Object.keys(KINDS)] as const;

/**
 * The executor called `name`. Throws UnknownNameError, or ExecutorError when it cannot run here.
 *
 * @param note told once, in one line, when `auto` has to do without the native addon
 */
export async function chooseExecutor(
  name: string,
  note: (text: string) => void,
): Promise<ExecutorKind> {
  const kind = lookUp<ExecutorKind | null>('executor', name, { auto: null, ...KINDS });
  if (kind) {
    await requireAvailable(kind);
    return withinMemory(kind, machineBytes());
  }
  const reason = await native.unavailable();
  if (reason === null) return withinMemory(native, machineBytes());
  await requireAvailable(wasmExecutor);
  note(`using WebAssembly, which is slower than native code: ${withoutStop(reason)}.`);
  return withinMemory(wasmExecutor, machineBytes());
}

/**
 * The same executor, which refuses a program that needs more memory than there is, by a BudgetError, before
 * it allocates: some systems promise any memory and end the process when it is used.
 */
export function withinMemory(kind: ExecutorKind, bytes: number): ExecutorKind {
  return {
    ...kind,
    load: (program, options) => {
      const planned = plannedBytes(program, options?.threads ?? 1);
      if (planned <= bytes) return kind.load(program, options);
      throw new BudgetError({
        where: `executor ${kind.name}`,
        expected: `a program within the ${gigabytes(bytes)} of this machine`,
        got: `one of ${gigabytes(planned)}`,
        todo: 'Lower --batch or --image-size, cut the batch by --micro-batches, or choose a smaller model',
      });
    },
  };
}

/** Memory of the machine, or of the part of it that this process may use. */
function machineBytes(): number {
  const allowed = process.constrainedMemory();
  return allowed > 0 ? Math.min(totalmem(), allowed) : totalmem();
}

function gigabytes(bytes: number): string {
  return `${significant(bytes / 1e9)} GB`;
}

/**
 * Threads that prepare images: not more than there are cores, since more wait for each other and take 40 MB
 * each. Which number it is cannot be seen in the result.
 *
 * @param note told in one line when there would be more
 */
export function workersWithinCores(asked: number, note: (text: string) => void): number {
  const cores = availableParallelism();
  if (asked <= cores) return asked;
  note(`--workers ${String(asked)}: taking ${String(cores)}, one for each core.`);
  return cores;
}

/** Threads when none are asked for. */
export function defaultThreads(): number {
  return availableParallelism();
}

async function requireAvailable(kind: ExecutorKind): Promise<void> {
  const reason = await kind.unavailable();
  if (reason === null) return;
  throw new ExecutorError({
    where: `executor ${kind.name}`,
    expected: 'one that can run here',
    got: withoutStop(reason),
    todo: 'Choose --executor auto, which takes the fastest that is there',
  });
}

function withoutStop(sentence: string): string {
  return sentence.replace(/\.$/, '');
}
