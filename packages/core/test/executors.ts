/**
 * The executors that the contract tests run on. To be listed is to be tested: an executor that cannot run
 * fails its tests instead of skipping them. The native one is left out only on a machine without a C
 * compiler, where the build cannot make it.
 */
import { spawnSync } from 'node:child_process';
import { native, nativeVariants, type NativeVariant } from '@thimble/native';
import type { ExecutorKind } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { wasmExecutor, type WasmVariant } from '../src/executors/wasm/index.js';

const COMPILERS = [process.env.CC, 'cc', 'gcc', 'clang'];

/** True when the build could have compiled the native addon. */
export const HAS_COMPILER = COMPILERS.some(
  (compiler) => compiler !== undefined && spawnSync(compiler, ['--version']).status === 0,
);

/** The native executor with one of its instruction sets. */
function nativeVariant(variant: NativeVariant): ExecutorKind {
  return {
    ...native,
    name: `native ${variant}`,
    load: (program, options) => native.load(program, { ...options, variant }),
    peaks: (options) => native.peaks({ ...options, variant }),
  };
}

/** Every instruction set that this machine can run; `native` alone when the addon is missing. */
function nativeExecutors(): readonly ExecutorKind[] {
  if (!HAS_COMPILER) return [];
  const variants = nativeVariants();
  return variants.length === 0 ? [native] : variants.map(nativeVariant);
}

/** The WebAssembly executor with one of its feature sets. */
function wasmVariant(variant: WasmVariant): ExecutorKind {
  return {
    ...wasmExecutor,
    name: `wasm ${variant}`,
    load: (program, options) => wasmExecutor.load(program, { ...options, variant }),
  };
}

/** Executors that run the C kernels. Every Node that is supported has relaxed SIMD. */
export const FAST_EXECUTORS: readonly ExecutorKind[] = [
  wasmVariant('relaxed-simd128'),
  wasmVariant('simd128'),
  ...nativeExecutors(),
];

/** All executors that compute. */
export const EXECUTORS: readonly ExecutorKind[] = [referenceExecutor, ...FAST_EXECUTORS];
