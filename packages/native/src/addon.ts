/**
 * The compiled addon, packages/native/build/thimble.node: its declaration (src/addon.c is the other
 * side) and its loading. It is absent where there was no C compiler at build time, which is no
 * error until it is used.
 */
import { ExecutorError } from '@thimble/core';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Instruction sets that the kernels are compiled for; `base` is SSE2 on x64 and NEON on arm64. */
export type NativeVariant = 'avx512' | 'avx2' | 'base';

/** One loaded program; every method throws while `run` or `profile` is under way. */
export interface Engine {
  /** Copies an entry's words (`encodeEntry`); returns the index by which it is run. */
  addEntry(words: Int32Array): number;
  /** Copies to the arena, `offset` bytes from its start. */
  write(offset: number, data: Float32Array | Int32Array | Int8Array): void;
  /** Fills `into` from the arena. */
  read(offset: number, into: Float32Array | Int32Array | Int8Array): void;
  run(entry: number): Promise<undefined>;
  /** Runs the entry; resolves to the milliseconds of each of its kernels. */
  profile(entry: number): Promise<number[]>;
  /** Frees memory and threads. */
  dispose(): void;
}

export interface Addon {
  readonly Engine: new (
    arenaBytes: number,
    scratchBytes: number,
    threads: number,
    variant: NativeVariant,
  ) => Engine;
  /** Those that this machine can run, fastest first. */
  readonly variants: readonly NativeVariant[];
  returnFreedMemory(): boolean;
  /** Work per second of the loops in kernels/peak.h on `threads` threads; with 0 floats the FMA. */
  measurePeak(
    variant: NativeVariant,
    threads: number,
    floats: number,
    repeats: number,
  ): Promise<number>;
}

/** The same place from src (tests) and from dist. */
const path = fileURLToPath(new URL('../build/thimble.node', import.meta.url));

/** The addon, or why there is none, in one sentence. */
export function tryAddon(): Addon | string {
  const machine = `${process.platform}-${process.arch}`;
  if (!existsSync(path)) {
    return `The native kernels are not built for ${machine}: npm run build needs a C compiler.`;
  }
  try {
    const addon: unknown = createRequire(import.meta.url)(path);
    if (isAddon(addon)) return addon;
    return `The native kernels in ${path} are of another version: run npm run build.`;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `The native kernels cannot be loaded on ${machine}: ${reason}.`;
  }
}

/** The addon. Throws ExecutorError when there is none. */
export function requireAddon(): Addon {
  const addon = tryAddon();
  if (typeof addon !== 'string') return addon;
  throw new ExecutorError({
    where: 'executor native',
    expected: 'the compiled kernels',
    got: addon.replace(/\.$/, ''),
    todo: 'Use the executor wasm, which needs no compiler',
  });
}

function isAddon(value: unknown): value is Addon {
  const members = ['Engine', 'variants', 'returnFreedMemory', 'measurePeak'];
  return typeof value === 'object' && value !== null && members.every((name) => name in value);
}
