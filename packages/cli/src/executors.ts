/** Which executor runs: by name, or the fastest that this machine has. */
import {
  ExecutorError,
  lookUp,
  referenceExecutor,
  wasmExecutor,
  type ExecutorKind,
} from '@thimble/core';
import { native } from '@thimble/native';
import { availableParallelism } from 'node:os';

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
    return kind;
  }
  const reason = await native.unavailable();
  if (reason === null) return native;
  await requireAvailable(wasmExecutor);
  note(`thimble: using WebAssembly, which is slower than native code: ${withoutStop(reason)}.`);
  return wasmExecutor;
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
