/**
 * The kernels as a compiled WebAssembly module: the fastest feature set that this engine has.
 *
 * The generated file is imported when a program is loaded and not before: an application that
 * never uses this executor does not pay for it, and a missing build is an error with instructions.
 */
import { ExecutorError } from '../../errors.js';
import { OPS, type AnyOp } from '../../ops/index.js';
import type * as Generated from './kernels.generated.js';
import { allowRelaxedSimd } from './node.js';

/** Feature sets, fastest first: with and without fused multiply-add. */
const VARIANTS = ['relaxed-simd128', 'simd128'] as const;
/** A build of the kernels: with or without fused multiply-add. */
export type WasmVariant = (typeof VARIANTS)[number];

export interface Kernels {
  readonly module: WebAssembly.Module;
  readonly variant: WasmVariant;
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

/** Variants that this engine can run, fastest first; none where the kernels are not built. */
export async function wasmVariants(): Promise<readonly WasmVariant[]> {
  try {
    const generated = await import('./kernels.generated.js');
    return VARIANTS.filter((variant) => isValid(variant, bytesOf(variant, generated)));
  } catch {
    return [];
  }
}

/**
 * Compiles the kernels: `variant`, or the fastest that this engine can run. Throws ExecutorError
 * where the engine lacks SIMD or threads, or the variant that was asked for.
 */
export async function compileKernels(variant?: WasmVariant): Promise<Kernels> {
  const chosen = choose(await import('./kernels.generated.js'), variant);
  return { module: await WebAssembly.compile(chosen.bytes), variant: chosen.variant };
}

function choose(
  generated: typeof Generated,
  only?: WasmVariant,
): { bytes: Uint8Array; variant: WasmVariant } {
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
  for (const variant of only === undefined ? VARIANTS : [only]) {
    const bytes = bytesOf(variant, generated);
    if (isValid(variant, bytes)) return { bytes, variant };
  }
  if (only === 'relaxed-simd128') {
    throw new ExecutorError({
      where: 'executor wasm, option variant',
      expected: 'a JavaScript engine with relaxed SIMD',
      got: 'an engine that rejects the kernels with relaxed SIMD',
      todo: 'Leave the option out: the fastest variant of this engine is the default',
    });
  }
  throw new ExecutorError({
    where: 'executor wasm',
    expected: 'a JavaScript engine with WebAssembly SIMD, threads and bulk memory',
    got: 'an engine that rejects the kernels',
    todo: 'Use a browser or a Node of 2021 or later',
  });
}

function bytesOf(variant: WasmVariant, generated: typeof Generated): Uint8Array {
  const text = variant === 'simd128' ? generated.simd : generated.relaxedSimd;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Whether this engine accepts the module; the engine's own flags are touched only where they could
 * change the answer. */
function isValid(variant: WasmVariant, bytes: Uint8Array): boolean {
  if (WebAssembly.validate(bytes)) return true;
  if (variant !== 'relaxed-simd128') return false;
  allowRelaxedSimd();
  return WebAssembly.validate(bytes);
}
