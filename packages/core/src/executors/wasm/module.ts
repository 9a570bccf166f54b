/**
 * The kernels as a compiled WebAssembly module: the fastest feature set that this engine has.
 *
 * The generated file is imported when a program is loaded and not before: an application that
 * never uses this executor does not pay for it, and a missing build is an error with instructions.
 */
import { ExecutorError } from '../../errors.js';
import { OPS, type AnyOp } from '../../ops/index.js';
import type * as Generated from './kernels.generated.js';

export interface Kernels {
  readonly module: WebAssembly.Module;
  /** `relaxed-simd128` or `simd128`. */
  readonly detail: string;
}

/** Why the kernels cannot run here; null when they can. */
export async function kernelsUnavailable(): Promise<string | null> {
  try {
    choose(await import('./kernels.generated.js'));
    return null;
  } catch (error) {
    return error instanceof ExecutorError
      ? error.message
      : 'The WebAssembly kernels are not built: run npm run build.';
  }
}

/** Compiles the kernels. Throws ExecutorError where the engine lacks SIMD or threads. */
export async function compileKernels(): Promise<Kernels> {
  const { bytes, detail } = choose(await import('./kernels.generated.js'));
  return { module: await WebAssembly.compile(bytes), detail };
}

function choose(generated: typeof Generated): { bytes: Uint8Array; detail: string } {
  const withKernel = Object.values<AnyOp>(OPS).filter((op) => !op.view);
  const ops = withKernel.map((op) => op.name);
  if (generated.ops.join() !== ops.join()) {
    throw new ExecutorError({
      where: 'executor wasm',
      expected: `kernels for ${String(ops.length)} ops, from ${ops[0]} to ${String(ops.at(-1))}`,
      got: `kernels that were built for other ops: ${generated.ops.join(', ')}`,
      todo: 'Run npm run build',
    });
  }
  for (const [detail, text] of [
    ['relaxed-simd128', generated.relaxedSimd],
    ['simd128', generated.simd],
  ] as const) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    if (WebAssembly.validate(bytes)) return { bytes, detail };
  }
  throw new ExecutorError({
    where: 'executor wasm',
    expected: 'a JavaScript engine with WebAssembly SIMD, threads and bulk memory',
    got: 'an engine that rejects the kernels',
    todo: 'Use a browser or a Node of 2021 or later',
  });
}
